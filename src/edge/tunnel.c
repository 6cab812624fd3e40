/* SPDX-License-Identifier: Apache-2.0
 *
 * tunnel: see tunnel.h.
 */
#include "tunnel.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SSH        "/usr/bin/ssh"
#define SSH_KEYGEN "/usr/bin/ssh-keygen"

enum { STEADY_US = 60 * 1000 * 1000, END_STEPS = 50, END_STEP_US = 20 * 1000 };

struct tunnel {
    char target[TUNNEL_TEXT_BYTES], port[8], forward[TUNNEL_TEXT_BYTES + TUNNEL_SOCKET_BYTES];
    char key_file[TUNNEL_PATH_BYTES], known_hosts[TUNNEL_PATH_BYTES + 32],
        known_hosts_file[TUNNEL_PATH_BYTES];
    char socket[TUNNEL_SOCKET_BYTES], endpoint[TUNNEL_SOCKET_BYTES + 8];
    pid_t child; /* 0: none */
    int words;   /* its standard error; -1 */
    bool up, told;
    int64_t started_us, retry_at_us, backoff_us; /* monotonic */
    char why[TUNNEL_TEXT_BYTES];
};

/* ---- options --------------------------------------------------------------------------------- */

static bool is_name(struct slice text, const char *others)
{
    for (size_t i = 0; i < text.n; i++)
        if (!isalnum((unsigned char)text.p[i]) && strchr(others, text.p[i]) == NULL)
            return false;
    return text.n > 0 && text.p[0] != '-';
}

/* USER@HOST[:PORT]; an IPv6 address in brackets. */
static int take_via(struct tunnel *t, const char *via, struct err *err)
{
    struct slice host = slice_of(via), user, port = SLICE("22");
    uint64_t number;
    bool good =
        strchr(via, '@') != NULL && slice_split(&host, '@', &user) && is_name(user, "._-") && host.n > 0;
    const char *end = good && host.p[0] == '[' ? memchr(host.p, ']', host.n) : NULL;
    const char *colon =
        good && (host.p[0] != '[' || end != NULL)
            ? memchr(end != NULL ? end : host.p, ':', host.n - (size_t)(end != NULL ? end - host.p : 0))
            : NULL;
    if (colon != NULL) {
        port = (struct slice){colon + 1, host.n - (size_t)(colon - host.p) - 1};
        host.n = (size_t)(colon - host.p);
    }
    if (end != NULL)
        host = (struct slice){host.p + 1, (size_t)(end - host.p) - 1};
    if (good && is_name(host, ".:-") && text_to_u64(port, 65535, &number) == 0 && number > 0 &&
        snprintf(t->target, sizeof t->target, "%.*s@%.*s", (int)user.n, user.p, (int)host.n, host.p) <
            (int)sizeof t->target &&
        slice_to_string(port, t->port, sizeof t->port) == 0)
        return 0;
    return err_set(err, ERR_CONFIG, "via_ssh '%s' is no USER@HOST or USER@HOST:PORT", via);
}

static int take_paths(struct tunnel *t, const struct tunnel_options *o, struct err *err)
{
    bool six = strchr(o->to_host, ':') != NULL;
    if (slice_to_string(slice_of(o->socket), t->socket, sizeof t->socket) != 0)
        return err_set(err, ERR_CONFIG,
                       "spool is too long a path for the socket of via_ssh [at most %d bytes]",
                       TUNNEL_SOCKET_BYTES - 1);
    if (strpbrk(o->socket, ": \"\\") != NULL || strpbrk(o->known_hosts, "\"\\") != NULL)
        return err_set(err, ERR_CONFIG, "paths of via_ssh can't have spaces, colons or quotes");
    if (slice_to_string(slice_of(o->key_file), t->key_file, sizeof t->key_file) != 0 ||
        slice_to_string(slice_of(o->known_hosts), t->known_hosts_file, sizeof t->known_hosts_file) != 0 ||
        snprintf(t->forward, sizeof t->forward, "%s:%s%s%s:%s", o->socket, six ? "[" : "", o->to_host,
                 six ? "]" : "", o->to_port) >= (int)sizeof t->forward)
        return err_set(err, ERR_CONFIG, "a path of via_ssh, or server, is too long");
    (void)snprintf(t->known_hosts, sizeof t->known_hosts, "UserKnownHostsFile=\"%s\"", t->known_hosts_file);
    (void)snprintf(t->endpoint, sizeof t->endpoint, "ipc://%s", t->socket);
    return 0;
}

int tunnel_open(struct tunnel **out, const struct tunnel_options *options, struct err *err)
{
    struct tunnel *t = calloc(1, sizeof *t);
    if (t == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a tunnel");
    t->words = -1;
    t->backoff_us = TUNNEL_BACKOFF_MIN_US;
    (void)snprintf(t->why, sizeof t->why, "the ssh tunnel is being made");
    int rc = take_via(t, options->via, err);
    if (rc == 0)
        rc = take_paths(t, options, err);
    if (rc == 0)
        *out = t;
    else
        free(t);
    return rc;
}

/* ---- children -------------------------------------------------------------------------------- */

/* Between fork and exec, in a program with threads: only what is safe for a signal handler. */
static void become(const char *const *args, int words, pid_t parent)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent || null < 0 || dup2(null, 0) < 0 ||
        dup2(null, 1) < 0 || dup2(words, 2) < 0)
        _exit(127);
    (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    (void)execv(args[0], (char *const *)(uintptr_t)args);
    _exit(127);
}

/* words: gets what the child says, non-blocking. -1: errno. */
static pid_t start(const char *const *args, int *words)
{
    int ends[2];
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0)
        become(args, ends[1], parent);
    int errnum = errno;
    (void)close(ends[1]);
    if (child < 0)
        (void)close(ends[0]);
    else
        *words = ends[0];
    errno = errnum;
    return child;
}

/* Keeps the last line that isn't empty, without control characters. */
static void keep_words(char *out, size_t size, const char *text, size_t n)
{
    struct slice rest = {text, n}, line;
    while (slice_split(&rest, '\n', &line)) {
        while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' '))
            line.n--;
        if (line.n == 0)
            continue;
        size_t keep = line.n < size - 1 ? line.n : size - 1;
        for (size_t i = 0; i < keep; i++)
            out[i] = line.p[i] < ' ' || line.p[i] > '~' ? '?' : line.p[i];
        out[keep] = '\0';
    }
}

static void hear(struct tunnel *t)
{
    char bytes[1024], last[TUNNEL_TEXT_BYTES - 64] = "";
    ssize_t n;
    while (t->words >= 0 && (n = read(t->words, bytes, sizeof bytes)) > 0)
        keep_words(last, sizeof last, bytes, (size_t)n);
    if (last[0] != '\0')
        (void)snprintf(t->why, sizeof t->why, "ssh: %s", last);
}

/* ---- the key --------------------------------------------------------------------------------- */

/* What root makes belongs to the directory's owner, who is to use it. */
static void give(const char *path)
{
    char copy[TUNNEL_PATH_BYTES + 8]; /* with ".pub" */
    struct stat dir;
    (void)snprintf(copy, sizeof copy, "%s", path);
    if (geteuid() == 0 && stat(dirname(copy), &dir) == 0 && lchown(path, dir.st_uid, dir.st_gid) != 0)
        log_warning("%s can't be given to its directory's owner: do so, or ssh won't use it", path);
}

static int generate(const struct tunnel *t, const char *public_path, struct err *err)
{
    const char *const args[] = {SSH_KEYGEN, "-q",           "-t", "ed25519",   "-N", "",
                                "-C",       "policy-proxy", "-f", t->key_file, NULL};
    int words = -1, status = 0;
    if (access(SSH_KEYGEN, X_OK) != 0)
        return err_set(err, ERR_NOT_FOUND, "via_ssh needs OpenSSH's client: install openssh-client");
    pid_t child = start(args, &words);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        if (words >= 0)
            (void)close(words);
        return err_set(err, ERR_IO, "ssh key %s can't be made: look at its directory", t->key_file);
    }
    (void)close(words);
    give(t->key_file);
    give(public_path);
    return 0;
}

int tunnel_make_key(const struct tunnel *t, char *public_key, struct err *err)
{
    char path[TUNNEL_PATH_BYTES + 8];
    (void)snprintf(path, sizeof path, "%s.pub", t->key_file);
    int rc = access(t->key_file, F_OK) == 0 ? 0 : generate(t, path, err);
    int fd = rc == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = fd >= 0 ? read(fd, public_key, TUNNEL_TEXT_BYTES - 1) : 0;
    public_key[n > 0 ? n : 0] = '\0';
    public_key[strcspn(public_key, "\r\n")] = '\0';
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

/* ---- the tunnel ------------------------------------------------------------------------------ */

static void spawn(struct tunnel *t, int64_t now_us)
{
    const char *const args[] = {SSH,
                                "-N",
                                "-T",
                                "-F",
                                "none",
                                "-i",
                                t->key_file,
                                "-p",
                                t->port,
                                "-o",
                                "IdentitiesOnly=yes",
                                "-o",
                                "IdentityAgent=none",
                                "-o",
                                t->known_hosts,
                                "-o",
                                "GlobalKnownHostsFile=/dev/null",
                                "-o",
                                "StrictHostKeyChecking=yes",
                                "-o",
                                "UpdateHostKeys=no",
                                "-o",
                                "BatchMode=yes",
                                "-o",
                                "ExitOnForwardFailure=yes",
                                "-o",
                                "ServerAliveInterval=15",
                                "-o",
                                "ServerAliveCountMax=3",
                                "-o",
                                "ConnectTimeout=10",
                                "-o",
                                "StreamLocalBindUnlink=yes",
                                "-o",
                                "StreamLocalBindMask=0177",
                                "-o",
                                "LogLevel=ERROR",
                                "-L",
                                t->forward,
                                "--",
                                t->target,
                                NULL};
    char public_key[TUNNEL_TEXT_BYTES];
    struct err err = {0};
    int rc = access(SSH, X_OK) == 0
                 ? 0
                 : err_set(&err, ERR_NOT_FOUND, "via_ssh needs OpenSSH's client: install openssh-client");
    if (rc == 0)
        rc = tunnel_make_key(t, public_key, &err);
    if (rc == 0 && access(t->known_hosts_file, R_OK) != 0)
        rc = err_set(
            &err, ERR_NOT_FOUND,
            "the host of via_ssh is not known: put its line into %s (ssh-keyscan shows it; compare it)",
            t->known_hosts_file);
    (void)unlink(t->socket); /* that it is there says that the child made it */
    t->child = rc == 0 ? start(args, &t->words) : 0;
    t->started_us = now_us;
    if (t->child > 0)
        return;
    (void)snprintf(t->why, sizeof t->why, "%.*s", TUNNEL_TEXT_BYTES - 1,
                   rc != 0 ? err_detail(&err) : "ssh can't be started");
    t->child = 0;
    t->retry_at_us = now_us + t->backoff_us;
    t->backoff_us = t->backoff_us > TUNNEL_BACKOFF_MAX_US / 2 ? TUNNEL_BACKOFF_MAX_US : 2 * t->backoff_us;
}

static void forget_child(struct tunnel *t)
{
    hear(t);
    if (t->words >= 0)
        (void)close(t->words);
    t->words = -1;
    t->child = 0;
    t->up = false;
    (void)unlink(t->socket);
}

static void ended(struct tunnel *t, int64_t now_us)
{
    bool steady = now_us - t->started_us > STEADY_US;
    if (t->up)
        (void)snprintf(t->why, sizeof t->why, "the ssh tunnel has ended");
    forget_child(t);
    if (!t->told)
        log_warning("ssh tunnel is down, it is made again via=%s [%s]", t->target, t->why);
    t->told = true;
    if (steady)
        t->backoff_us = TUNNEL_BACKOFF_MIN_US;
    t->retry_at_us = now_us + t->backoff_us;
    t->backoff_us = t->backoff_us > TUNNEL_BACKOFF_MAX_US / 2 ? TUNNEL_BACKOFF_MAX_US : 2 * t->backoff_us;
}

bool tunnel_step(struct tunnel *t, int64_t now_us)
{
    int status;
    if (t->child == 0 && now_us >= t->retry_at_us)
        spawn(t, now_us);
    if (t->child == 0)
        return false;
    hear(t);
    if (waitpid(t->child, &status, WNOHANG) != 0) {
        ended(t, now_us);
    } else if (!t->up && access(t->socket, F_OK) == 0) {
        t->up = true;
        t->told = false;
        log_info("ssh tunnel is up via=%s", t->target);
    }
    return t->up;
}

void tunnel_close(struct tunnel **tunnel)
{
    struct tunnel *t = *tunnel;
    int status;
    *tunnel = NULL;
    if (t == NULL)
        return;
    if (t->child > 0) {
        struct timespec pause = {.tv_nsec = END_STEP_US * 1000};
        (void)kill(t->child, SIGTERM);
        int i = 0;
        while (waitpid(t->child, &status, WNOHANG) == 0 && i++ < END_STEPS)
            (void)nanosleep(&pause, NULL);
        if (i > END_STEPS) {
            (void)kill(t->child, SIGKILL);
            (void)waitpid(t->child, &status, 0);
        }
        forget_child(t);
    }
    free(t);
}

bool tunnel_is_up(const struct tunnel *t)
{
    return t->up;
}

const char *tunnel_endpoint(const struct tunnel *t)
{
    return t->endpoint;
}

const char *tunnel_why(const struct tunnel *t)
{
    return t->why;
}
