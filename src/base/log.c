/* SPDX-License-Identifier: Apache-2.0
 *
 * log: formats a line on the stack and hands it to stderr, a file or syslog, or to the thread that does. See
 * log.h.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int syslog_levels[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

static struct {
    const char *program;
    _Atomic int level;
    _Atomic int fd;
    bool to_syslog;
    char path[1024];
} state = {.program = "mail-analytics", .level = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

enum { QUEUE_LINES = 64, STACK_BYTES = 128 * 1024 };

struct queued {
    enum log_level level;
    size_t n;
    char line[LOG_LINE_BYTES];
};

/* Lines on their way to the thread. The lock is held for a copy, never for a write. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    struct queued lines[QUEUE_LINES];
    size_t first, count;
    uint64_t lost;
    _Atomic bool running;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

static int open_file(struct err *err)
{
    int fd = open(state.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(err, errno, "log file %s cannot be opened", state.path);
    int old = atomic_load(&state.fd);
    if (old <= STDERR_FILENO) {
        atomic_store(&state.fd, fd);
        return 0;
    }
    /* The number stays: another thread is perhaps about to write to it, and closed, it could be a journal's.
     */
    int rc = dup3(fd, old, O_CLOEXEC) >= 0 ? 0 : err_errno(err, errno, "log file %s", state.path);
    close(fd);
    return rc;
}

int log_open(const char *program, enum log_level level, const char *output, struct err *err)
{
    state.program = program;
    log_set_level(level);
    if (strcmp(output, "stderr") == 0)
        return 0;
    if (strcmp(output, "syslog") == 0) {
        openlog(program, LOG_PID, LOG_MAIL);
        state.to_syslog = true;
        return 0;
    }
    if (strncmp(output, "file:", 5) == 0 && output[5] == '/' && strlen(output) - 5 < sizeof state.path) {
        memcpy(state.path, output + 5, strlen(output) - 4);
        return open_file(err);
    }
    return err_set(err, ERR_CONFIG, "log output '%s' is not known (use stderr, syslog or file:/path)",
                   output);
}

int log_reopen(struct err *err)
{
    return state.path[0] != '\0' ? open_file(err) : 0;
}

void log_set_level(enum log_level level)
{
    atomic_store(&state.level, (int)level);
}

int log_level_parse(const char *name, enum log_level *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    return ERR_INVALID;
}

/* Copies text with control bytes as \xNN; returns the bytes written. */
static size_t escape(char *out, size_t size, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (; *text != '\0' && n + 4 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != 0x7f) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    return n;
}

static size_t prefix(char *out, size_t size, enum log_level level)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
    int more = snprintf(out + n, size - n, ".%03ldZ %s[%d]: %s: ", now.tv_nsec / 1000000, state.program,
                        (int)getpid(), level_names[level]);
    return n + (size_t)more;
}

/* The whole line, ready to go. */
static size_t compose(char line[static LOG_LINE_BYTES], enum log_level level, const char *text)
{
    size_t n = state.to_syslog ? 0 : prefix(line, 256, level);
    n += escape(line + n, LOG_LINE_BYTES - n - 1, text);
    line[n] = state.to_syslog ? '\0' : '\n';
    return n + !state.to_syslog;
}

static void put(enum log_level level, const char *line, size_t n)
{
    if (state.to_syslog) {
        syslog(syslog_levels[level], "%s: %s", level_names[level], line);
        return;
    }
    ssize_t written = write(atomic_load(&state.fd), line, n);
    (void)written; /* nowhere left to complain */
}

static void put_lost(uint64_t lost)
{
    char text[128], line[LOG_LINE_BYTES];
    (void)snprintf(text, sizeof text, "%" PRIu64 " lines were lost here: the log took none for a while",
                   lost);
    put(LOG_LEVEL_WARNING, line, compose(line, LOG_LEVEL_WARNING, text));
}

/* --- the thread ---------------------------------------------------------------------------------------- */

static void push(enum log_level level, const char *line, size_t n)
{
    pthread_mutex_lock(&queue.lock);
    if (queue.count == QUEUE_LINES) {
        queue.lost++;
    } else {
        struct queued *last = &queue.lines[(queue.first + queue.count++) % QUEUE_LINES];
        last->level = level;
        last->n = n;
        memcpy(last->line, line, n + (state.to_syslog ? 1 : 0));
        pthread_cond_signal(&queue.filled);
    }
    pthread_mutex_unlock(&queue.lock);
}

/* A line leaves the queue when it is out. */
static void *run(void *arg)
{
    static struct queued line;
    (void)arg;
    pthread_mutex_lock(&queue.lock);
    for (;;) {
        while (queue.count == 0)
            pthread_cond_wait(&queue.filled, &queue.lock);
        line = queue.lines[queue.first];
        pthread_mutex_unlock(&queue.lock);
        put(line.level, line.line, line.n);
        pthread_mutex_lock(&queue.lock);
        queue.first = (queue.first + 1) % QUEUE_LINES;
        uint64_t lost = --queue.count == 0 ? queue.lost : 0;
        if (lost != 0) {
            queue.lost = 0;
            pthread_mutex_unlock(&queue.lock);
            put_lost(lost);
            pthread_mutex_lock(&queue.lock);
        }
        if (queue.count == 0)
            pthread_cond_broadcast(&queue.emptied);
    }
    return NULL;
}

/* Signals stay with the program's other threads. */
static int start_thread(void)
{
    sigset_t all, old;
    pthread_attr_t attr;
    pthread_t thread;
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int errnum = pthread_create(&thread, &attr, run, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return errnum;
}

int log_background(struct err *err)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&queue.emptied, &attr);
    pthread_condattr_destroy(&attr);
    int errnum = start_thread();
    if (errnum != 0)
        return err_errno(err, errnum, "the log's thread cannot be started");
    atomic_store(&queue.running, true);
    return 0;
}

void log_drain(int64_t timeout_us)
{
    struct timespec until;
    int rc = 0;
    if (!atomic_load(&queue.running))
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_us / 1000000;
    pthread_mutex_lock(&queue.lock);
    while (queue.count != 0 && rc == 0)
        rc = pthread_cond_timedwait(&queue.emptied, &queue.lock, &until);
    pthread_mutex_unlock(&queue.lock);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if ((int)level > atomic_load_explicit(&state.level, memory_order_relaxed))
        return;
    int saved_errno = errno;
    char text[LOG_LINE_BYTES / 2], line[LOG_LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t n = compose(line, level, text);
    if (!atomic_load(&queue.running))
        put(level, line, n);
    else
        push(level, line, n);
    errno = saved_errno;
}
