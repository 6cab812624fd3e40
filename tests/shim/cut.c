/* SPDX-License-Identifier: Apache-2.0
 *
 * cut: `powercut-cut LOG DIR` does to DIR, and below it, what a power cut may do: names that no fsync of
 * their directory covered go, files are cut to the bytes that a sync covered. LOG comes from powercut.c. Says
 * on standard output what it took.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THINGS = 65536, NAMES = 65536, LINE_BYTES = 512, PATH_BYTES = 4096 };

struct file {
    unsigned long dev, inode;
    long long durable;
};

struct name {
    unsigned long dir_dev, dir_inode, inode;
    char name[256];
};

static struct file files[THINGS];
static struct name names[NAMES];
static size_t files_n, names_n;

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static struct file *find_file(unsigned long dev, unsigned long inode)
{
    for (size_t i = 0; i < files_n; i++)
        if (files[i].dev == dev && files[i].inode == inode)
            return &files[i];
    return NULL;
}

static void set_file(unsigned long dev, unsigned long inode, long long durable)
{
    struct file *file = find_file(dev, inode);
    if (file == NULL) {
        if (files_n == THINGS)
            die("too many files");
        file = &files[files_n++];
    }
    *file = (struct file){dev, inode, durable};
}

static void forget_names(unsigned long dev, unsigned long inode)
{
    size_t kept = 0;
    for (size_t i = 0; i < names_n; i++)
        if (names[i].dir_dev != dev || names[i].dir_inode != inode)
            names[kept++] = names[i];
    names_n = kept;
}

static bool durable_name(const struct stat *dir, const char *name, unsigned long inode)
{
    for (size_t i = 0; i < names_n; i++)
        if (names[i].dir_dev == dir->st_dev && names[i].dir_inode == dir->st_ino && names[i].inode == inode &&
            strcmp(names[i].name, name) == 0)
            return true;
    return false;
}

static void read_log(const char *path)
{
    FILE *log = fopen(path, "r");
    char line[LINE_BYTES];
    unsigned long dev = 0, inode = 0;
    if (log == NULL)
        die(path);
    while (fgets(line, sizeof line, log) != NULL) {
        struct name name = {0};
        unsigned long a, b;
        long long bytes;
        if (sscanf(line, "F %lu %lu %lld", &a, &b, &bytes) == 3)
            set_file(a, b, bytes);
        else if (sscanf(line, "D %lu %lu", &dev, &inode) == 2)
            forget_names(dev, inode);
        else if (sscanf(line, "N %lu %255[^\n]", &name.inode, name.name) == 2) {
            if (names_n == NAMES)
                die("too many names");
            name.dir_dev = dev;
            name.dir_inode = inode;
            names[names_n++] = name;
        }
    }
    fclose(log);
}

static void cut_file(const char *path, const struct stat *st)
{
    const struct file *file = find_file(st->st_dev, st->st_ino);
    long long durable = file != NULL ? file->durable : 0;
    if (st->st_size <= durable)
        return;
    printf("cut %s from %lld to %lld bytes\n", path, (long long)st->st_size, durable);
    if (truncate(path, durable) != 0)
        die(path);
}

static void cut_dir(const char *dir)
{
    struct stat dir_st;
    DIR *entries = opendir(dir);
    if (entries == NULL || fstat(dirfd(entries), &dir_st) != 0)
        die(dir);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        char path[PATH_BYTES];
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (lstat(path, &st) != 0)
            die(path);
        if (S_ISDIR(st.st_mode)) {
            cut_dir(path); /* the directory itself stays: empty at worst */
        } else if (!durable_name(&dir_st, entry->d_name, st.st_ino)) {
            printf("remove %s\n", path);
            if (unlink(path) != 0)
                die(path);
        } else if (S_ISREG(st.st_mode)) {
            cut_file(path, &st);
        }
    }
    closedir(entries);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: powercut-cut LOG DIR\n");
        return EXIT_FAILURE;
    }
    read_log(argv[1]);
    cut_dir(argv[2]);
    return EXIT_SUCCESS;
}
