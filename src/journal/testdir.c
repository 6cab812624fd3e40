/* SPDX-License-Identifier: Apache-2.0
 *
 * testdir: see testdir.h. Whatever fails here ends the test program.
 */
#include "testdir.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void need(bool good, const char *what)
{
    if (!good) {
        perror(what);
        abort();
    }
}

int testdir_make(void **state)
{
    char path[] = "/tmp/journal-test-XXXXXX";
    need(mkdtemp(path) != NULL, path);
    *state = strdup(path);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type;
    return ftw->level == 0 ? 0 : remove(path);
}

void testdir_empty(const char *dir)
{
    need(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, dir);
}

int testdir_remove(void **state)
{
    testdir_empty(*state);
    (void)rmdir(*state); /* after a failure the spool's thread may still write there */
    free(*state);
    return 0;
}

static int open_in(const char *dir, const char *name, int flags)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    need(fd >= 0, path);
    return fd;
}

void testdir_write(const char *dir, const char *name, const void *bytes, size_t n)
{
    int fd = open_in(dir, name, O_WRONLY | O_CREAT | O_TRUNC);
    need(write(fd, bytes, n) == (ssize_t)n, name);
    close(fd);
}

void testdir_flip(const char *dir, const char *name, off_t at)
{
    int fd = open_in(dir, name, O_RDWR);
    uint8_t byte;
    need(pread(fd, &byte, 1, at) == 1, name);
    byte ^= 1;
    need(pwrite(fd, &byte, 1, at) == 1, name);
    close(fd);
}

enum { COUNT, BYTES, BLOCKS };

static uint64_t sum(const char *dir, const char *suffix, int what)
{
    DIR *names = opendir(dir);
    uint64_t total = 0;
    need(names != NULL, dir);
    for (struct dirent *entry; (entry = readdir(names)) != NULL;) {
        struct stat st;
        size_t n = strlen(entry->d_name), tail = strlen(suffix);
        if (n < tail || strcmp(entry->d_name + n - tail, suffix) != 0)
            continue;
        need(fstatat(dirfd(names), entry->d_name, &st, 0) == 0, entry->d_name);
        total += what == COUNT ? 1 : (uint64_t)(what == BYTES ? st.st_size : st.st_blocks * 512);
    }
    closedir(names);
    return total;
}

size_t testdir_count(const char *dir, const char *suffix)
{
    return (size_t)sum(dir, suffix, COUNT);
}

uint64_t testdir_bytes(const char *dir, const char *suffix)
{
    return sum(dir, suffix, BYTES);
}

uint64_t testdir_allocated(const char *dir, const char *suffix)
{
    return sum(dir, suffix, BLOCKS);
}
