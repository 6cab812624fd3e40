/* SPDX-License-Identifier: Apache-2.0
 *
 * replay: runs a harness over every file of the directories named on the command line, so that a corpus is
 * part of each ordinary test run. An unreadable or an empty directory fails, and so does a corpus that the
 * parser turns away: a replay of nothing proves nothing.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, INPUT_BYTES = 64 * 1024 * 1024 };

/* The copy is exactly n bytes long, so that AddressSanitizer sees a read beyond it. */
static int replay_stream(FILE *file, size_t n)
{
    uint8_t *bytes = malloc(n != 0 ? n : 1);
    if (bytes == NULL)
        return -1;
    int rc = fread(bytes, 1, n, file) == n ? LLVMFuzzerTestOneInput(bytes, n) : -1;
    free(bytes);
    return rc;
}

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -1;
    int rc = -1;
    long n = -1;
    if (fseek(file, 0, SEEK_END) == 0 && (n = ftell(file)) >= 0 && n <= INPUT_BYTES)
        rc = fseek(file, 0, SEEK_SET) == 0 ? replay_stream(file, (size_t)n) : -1;
    fclose(file);
    return rc;
}

/* Files replayed, or -1. */
static int replay_directory(const char *dir)
{
    DIR *names = opendir(dir);
    if (names == NULL)
        return -1;
    int count = 0;
    for (struct dirent *entry; count >= 0 && (entry = readdir(names)) != NULL;) {
        char path[PATH_BYTES];
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(path, sizeof path, "%s/%s", dir, entry->d_name) >= PATH_BYTES ||
            replay_file(path) != 0) {
            fprintf(stderr, "replay: %s/%s failed\n", dir, entry->d_name);
            count = -1;
        } else {
            count++;
        }
    }
    closedir(names);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = replay_directory(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "replay: nothing replayed from %s\n", argv[i]);
            return EXIT_FAILURE;
        }
        total += count;
    }
    printf("replay: %d inputs\n", total);
    const char *unreached = fuzz_unreached();
    if (unreached != NULL)
        fprintf(stderr, "replay: no input reaches %s: make new ones for this format\n", unreached);
    return total > 0 && unreached == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}
