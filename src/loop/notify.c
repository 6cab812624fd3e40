/* SPDX-License-Identifier: Apache-2.0
 *
 * notify: sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3) by hand. See notify.h.
 */
#include "notify.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* NOTIFY_SOCKET is a path, or '@' and an abstract name. A lost datagram is the supervisor's loss. */
static void tell(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = path == NULL ? 0 : strlen(path);
    if (n < 2 || n >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, n);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

void notify_ready(const char *status)
{
    char text[256];
    (void)snprintf(text, sizeof text, "READY=1\nSTATUS=%s\nMAINPID=%d", status, (int)getpid());
    tell(text);
}

void notify_status(const char *status)
{
    char text[256];
    (void)snprintf(text, sizeof text, "STATUS=%s", status);
    tell(text);
}

void notify_more_time(unsigned s)
{
    char text[64];
    (void)snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%llu", s * 1000000ULL);
    tell(text);
}

void notify_reloading(void)
{
    char text[64];
    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_monotonic_us());
    tell(text);
}

void notify_stopping(void)
{
    tell("STOPPING=1");
}

static void sign_of_life(void *arg)
{
    (void)arg;
    tell("WATCHDOG=1");
}

static uint64_t variable(const char *name)
{
    uint64_t value;
    const char *text = getenv(name);
    return text != NULL && text_to_u64(slice_of(text), UINT64_MAX, &value) == 0 ? value : 0;
}

int notify_watchdog(struct ticker **out, uv_loop_t *loop)
{
    *out = NULL;
    uint64_t timeout_us = variable("WATCHDOG_USEC");
    bool mine = getenv("WATCHDOG_PID") == NULL || variable("WATCHDOG_PID") == (uint64_t)getpid();
    if (timeout_us == 0 || !mine)
        return 0;
    int rc = ticker_create(out, loop, sign_of_life, NULL);
    if (rc == 0)
        ticker_set(*out, 0, timeout_us / 3000 > 0 ? timeout_us / 3000 : 1);
    return rc;
}

int notify_sockets(int max)
{
    uint64_t n = variable("LISTEN_PID") == (uint64_t)getpid() ? variable("LISTEN_FDS") : 0;
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (n > (uint64_t)max)
        n = (uint64_t)max;
    for (int i = 0; i < (int)n; i++)
        (void)fcntl(NOTIFY_FIRST_SOCKET + i, F_SETFD, FD_CLOEXEC);
    return (int)n;
}

bool notify_stderr_is_kept(void)
{
    struct stat st;
    struct slice rest, device;
    uint64_t device_id, inode;
    const char *stream = getenv("JOURNAL_STREAM");
    if (stream == NULL || fstat(STDERR_FILENO, &st) != 0)
        return false;
    rest = slice_of(stream);
    return slice_split(&rest, ':', &device) && text_to_u64(device, UINT64_MAX, &device_id) == 0 &&
           text_to_u64(rest, UINT64_MAX, &inode) == 0 && device_id == st.st_dev && inode == st.st_ino;
}
