/*
 * replay.c: gives every file of a folder to a fuzz target, so that what a fuzzer once found stays
 * tested where libFuzzer is not at hand. It makes up no input of its own. One thread.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 16 * 1024 * 1024 };

/* Reads a whole file into memory of exactly its size, so that a sanitizer sees an overrun. */
static uint8_t *read_file(const char *path, size_t *ret_size)
{
    FILE *f = fopen(path, "rb");
    long size = -1;
    uint8_t *data = NULL;

    if (f && fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    if (size >= 0 && size <= INPUT_BYTES_MAX && fseek(f, 0, SEEK_SET) == 0)
        data = malloc(size > 0 ? (size_t)size : 1);
    if (data && fread(data, 1, (size_t)size, f) != (size_t)size) {
        free(data);
        data = NULL;
    }
    if (f)
        fclose(f);
    *ret_size = data ? (size_t)size : 0;
    return data;
}

int main(int argc, char **argv)
{
    char path[4096];
    struct dirent *entry;
    unsigned n = 0;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;

    if (!dir) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER (which must exist)\n", argv[0]);
        return 2;
    }
    while ((entry = readdir(dir))) {
        size_t size;
        uint8_t *data;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        data = read_file(path, &size);
        if (!data) {
            fprintf(stderr, "%s: cannot be read\n", path);
            return 2;
        }
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        n++;
    }
    closedir(dir);
    printf("%u inputs\n", n);
    return n > 0 ? 0 : 1;
}
