// The Go program that scrape is compared with: a pool of goroutines, net/http and goquery.
// Usage: scrape-go URLS OUTPUT CONNECTIONS
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/PuerkitoBio/goquery"
)

type row struct {
	Title, Heading, Description, Price, Sku, Image string
	Tags, Related                                  []string
}

func folded(s *goquery.Selection) string {
	return strings.Join(strings.Fields(s.First().Text()), " ")
}

func absolute(base *url.URL, ref string) string {
	u, err := base.Parse(ref)
	if err != nil {
		return ""
	}
	return u.String()
}

func extract(client *http.Client, address string) (row, error) {
	response, err := client.Get(address)
	if err != nil {
		return row{}, err
	}
	defer response.Body.Close()
	page, err := goquery.NewDocumentFromReader(response.Body)
	if err != nil {
		return row{}, err
	}
	base := response.Request.URL
	var r row
	r.Title = folded(page.Find("title"))
	r.Heading = folded(page.Find("h1.page-title"))
	r.Description, _ = page.Find("meta[name=description]").First().Attr("content")
	r.Price = folded(page.Find("div.product span.price"))
	r.Sku, _ = page.Find("div.product").First().Attr("data-sku")
	source, _ := page.Find("div.product img").First().Attr("src")
	r.Image = absolute(base, source)
	page.Find("ul.tags > li").Each(func(_ int, s *goquery.Selection) {
		r.Tags = append(r.Tags, strings.TrimSpace(s.Text()))
	})
	page.Find("article.card a.link").EachWithBreak(func(i int, s *goquery.Selection) bool {
		href, _ := s.Attr("href")
		r.Related = append(r.Related, absolute(base, href))
		return i < 19
	})
	return r, nil
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	connections, _ := strconv.Atoi(os.Args[3])
	file, err := os.Create(os.Args[2])
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}}
	addresses, rows := make(chan string, 256), make(chan row, 256)
	var group sync.WaitGroup
	for i := 0; i < connections; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for address := range addresses {
				r, err := extract(client, address)
				if err != nil {
					panic(err)
				}
				rows <- r
			}
		}()
	}
	go func() {
		for _, address := range strings.Fields(string(text)) {
			addresses <- address
		}
		close(addresses)
		group.Wait()
		close(rows)
	}()
	n, out := 0, bufio.NewWriter(file)
	encoder := json.NewEncoder(out)
	for r := range rows {
		if err := encoder.Encode(r); err != nil {
			panic(err)
		}
		n++
	}
	out.Flush()
	file.Close()
	fmt.Printf("{\"rows\": %d}\n", n)
}
