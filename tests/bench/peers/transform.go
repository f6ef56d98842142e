// The transform benchmark in Go, as one would write it: encoding/csv, strconv, a buffered writer.
// Usage: transform-go csv|ndjson|group INPUT OUTPUT. Prints {"rows": N}.
package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
)

type row struct {
	ID       string  `json:"id"`
	Round    float64 `json:"round"`
	Date     string  `json:"date"`
	Category string  `json:"lower"`
}

type total struct {
	count int
	sum   float64
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	in, err := os.Open(os.Args[2])
	check(err)
	out, err := os.Create(os.Args[3])
	check(err)
	reader := csv.NewReader(bufio.NewReaderSize(in, 1<<18))
	reader.ReuseRecord = true
	buffered := bufio.NewWriterSize(out, 1<<18)
	writer, encoder := csv.NewWriter(buffered), json.NewEncoder(buffered)
	groups := map[string]*total{}
	_, err = reader.Read()
	check(err)
	if os.Args[1] == "csv" {
		check(writer.Write([]string{"id", "round", "date", "lower"}))
	}
	rows, fields := 0, make([]string, 4)
	for {
		record, err := reader.Read()
		if err == io.EOF {
			break
		}
		check(err)
		rows++
		amount, err := strconv.ParseFloat(record[1], 64)
		check(err)
		if os.Args[1] == "group" {
			t := groups[record[3]]
			if t == nil {
				t = &total{}
				groups[strings.Clone(record[3])] = t
			}
			t.count++
			t.sum += amount
			continue
		}
		if amount <= 0 {
			continue
		}
		rounded := math.Round(amount*121) / 100
		category := strings.ToLower(strings.Trim(record[3], " "))
		if os.Args[1] == "ndjson" {
			check(encoder.Encode(row{record[0], rounded, record[2], category}))
			continue
		}
		fields[0], fields[1] = record[0], strconv.FormatFloat(rounded, 'f', 2, 64)
		fields[2], fields[3] = record[2], category
		check(writer.Write(fields))
	}
	names := make([]string, 0, len(groups))
	for name := range groups {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		t := groups[name]
		check(writer.Write([]string{name, strconv.Itoa(t.count), strconv.FormatFloat(t.sum, 'f', 2, 64)}))
	}
	writer.Flush()
	check(buffered.Flush())
	check(out.Close())
	fmt.Printf("{\"rows\": %d}\n", rows)
}
