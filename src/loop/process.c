/* SPDX-License-Identifier: Apache-2.0
 *
 * process: fork, limits, user, facts. See process.h.
 */
#include "process.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* The parent's part: the child's byte means ready, its end before that means failure. */
static _Noreturn void wait_for_child(pid_t child, int fd)
{
    char byte;
    ssize_t n;
    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(EX_OK);
    int status = 0;
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        _exit(WEXITSTATUS(status));
    _exit(EX_SOFTWARE);
}

int process_detach(int *ready_fd, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_errno(err, errno, "cannot detach");
    pid_t child = fork();
    if (child < 0) {
        int errnum = errno;
        close(ends[0]);
        close(ends[1]);
        return err_errno(err, errnum, "cannot detach");
    }
    if (child > 0) {
        close(ends[1]);
        wait_for_child(child, ends[0]);
    }
    close(ends[0]);
    (void)setsid();
    *ready_fd = ends[1];
    return 0;
}

void process_ready(int *ready_fd)
{
    if (*ready_fd < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
        (void)dup2(null, fd);
    if (null > STDERR_FILENO)
        close(null);
    ssize_t ignored = write(*ready_fd, "", 1);
    (void)ignored;
    close(*ready_fd);
    *ready_fd = -1;
}

int process_raise_descriptors(uint64_t needed, struct err *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_errno(err, errno, "the limit of open files is not known");
    if (limit.rlim_max < needed)
        return err_set(
            err, ERR_CONFIG,
            "max_connections needs %llu open files, the hard limit is %llu (lower max_connections, "
            "or raise LimitNOFILE= or ulimit -Hn)",
            (unsigned long long)needed, (unsigned long long)limit.rlim_max);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return err_errno(err, errno, "the limit of open files cannot be raised");
    return 0;
}

static int find_user(const char *user, struct passwd **found, struct err *err)
{
    *found = getpwnam(user);
    if (*found == NULL)
        return err_set(err, ERR_CONFIG, "user '%s' does not exist (make it, or change the setting user)",
                       user);
    return 0;
}

int process_become(const char *user, struct err *err)
{
    struct passwd *entry;
    if (user[0] == '\0' || geteuid() != 0)
        return 0;
    int rc = find_user(user, &entry, err);
    if (rc != 0)
        return rc;
    if (initgroups(user, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0)
        return err_errno(err, errno, "cannot become user '%s'", user);
    return 0;
}

int process_give(const char *user, const char *path, struct err *err)
{
    struct passwd *entry;
    if (user[0] == '\0' || geteuid() != 0)
        return 0;
    int rc = find_user(user, &entry, err);
    if (rc == 0 && lchown(path, entry->pw_uid, entry->pw_gid) != 0)
        rc = err_errno(err, errno, "%s cannot be given to user '%s'", path, user);
    return rc;
}

void process_runtime_dirs(const char *program, char dirs[PROCESS_RUNTIME_DIRS][PROCESS_DIR_BYTES])
{
    const char *chosen = getenv("RUNTIME_DIRECTORY");
    size_t n = chosen != NULL && chosen[0] == '/' ? strcspn(chosen, ":") : 0;
    dirs[0][0] = '\0';
    if (n < PROCESS_DIR_BYTES)
        (void)snprintf(dirs[0], PROCESS_DIR_BYTES, "%.*s", (int)n, n > 0 ? chosen : "");
    (void)snprintf(dirs[1], PROCESS_DIR_BYTES, "/run/%s", program);
}

static uint64_t resident_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    unsigned long long size, resident;
    if (sscanf(text, "%llu %llu", &size, &resident) != 2)
        return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t n = 0;
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        closedir(dir);
    return n > 3 ? n - 3 : 0; /* ".", ".." and the directory itself */
}

void process_get_facts(struct process_facts *out)
{
    static double start_seconds;
    struct rusage usage = {0};
    if (start_seconds <= 0)
        start_seconds = (double)clock_real_us() / 1e6;
    (void)getrusage(RUSAGE_SELF, &usage);
    *out = (struct process_facts){
        .cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
        .start_seconds = start_seconds,
        .resident_bytes = resident_bytes(),
        .open_descriptors = open_descriptors(),
    };
}
