/* SPDX-License-Identifier: Apache-2.0
 *
 * identity: names and paths from the settings. See identity.h.
 */
#include "identity.h"

#include "base/clock.h"
#include "https.h"
#include "loop/pidfile.h"
#include "uplink_impl.h"
#include "wire/curve.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEPALIVE_US (10 * US_PER_SECOND)

void identity_make_safe(struct slice host, char out[static BATCH_EDGE_BYTES + 1])
{
    size_t n = host.n < BATCH_EDGE_BYTES ? host.n : BATCH_EDGE_BYTES;
    for (size_t i = 0; i < n; i++) {
        char c = host.p[i];
        bool safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                    c == '-' || c == '_';
        out[i] = safe ? c : '-';
    }
    out[n] = '\0';
    if (n == 0)
        memcpy(out, "edge", 5);
}

static int fill_edge_id(struct identity *out, const struct proxy_config *settings, struct err *err)
{
    char host[HOST_NAME_MAX + 1] = "";
    struct slice id = slice_of(settings->edge_id);
    if (id.n > BATCH_EDGE_BYTES)
        return err_set(err, ERR_CONFIG, "edge_id is longer than %d characters (shorten it)",
                       BATCH_EDGE_BYTES);
    if (id.n == 0) {
        (void)gethostname(host, sizeof host - 1);
        id = slice_of(host);
    }
    identity_make_safe(id, out->edge_id);
    return 0;
}

static int fill_path(char *out, const struct proxy_config *settings, const char *name, struct err *err)
{
    int n = snprintf(out, IDENTITY_PATH_BYTES, "%s/%s", settings->spool, name);
    if (n < 0 || n >= IDENTITY_PATH_BYTES)
        return err_set(err, ERR_CONFIG, "spool is too long a path (shorten it)");
    return 0;
}

static int fill_pid_file(struct identity *out, const struct proxy_config *settings, struct err *err)
{
    const char *path = settings->pid_file;
    if (path[0] == '\0' &&
        pidfile_default(out->pid_file, sizeof out->pid_file, "policy-proxy", settings->spool))
        return 0;
    if (path[0] == '\0')
        path = out->pid_file_in_spool;
    if (slice_to_string(slice_of(path), out->pid_file, sizeof out->pid_file) == 0)
        return 0;
    return err_set(err, ERR_CONFIG, "pid_file is too long a path (shorten it)");
}

static int fill_text(char *out, const char *text, const char *key, struct err *err)
{
    if (slice_to_string(slice_of(text), out, IDENTITY_TEXT_BYTES) != 0)
        return err_set(err, ERR_CONFIG, "%s is longer than %d characters", key, IDENTITY_TEXT_BYTES - 1);
    return 0;
}

/* Neither key: records only gather, for which there are reasons. One without the other is a mistake. */
static int check_pair(const struct proxy_config *settings, struct err *err)
{
    bool server_key = settings->server_key[0] != '\0', api_key = settings->api_key[0] != '\0';
    if (server_key == api_key)
        return 0;
    return err_set(err, ERR_CONFIG,
                   server_key ? "api_key is missing beside server_key (make one at the hub: "
                                "`mail-analytics apikey add`, scope ingest)"
                              : "server_key is missing beside api_key (ask the hub: "
                                "`mail-analytics key`)");
}

/* Port 8443 where the hub's own port is. */
static int derive_https_server(struct identity *out, struct err *err)
{
    char host[CURVE_HOST_BYTES], port[CURVE_PORT_BYTES];
    int rc = curve_endpoint_split(out->server, host, port, err);
    if (rc == 0)
        (void)snprintf(out->https_server, sizeof out->https_server,
                       strchr(host, ':') != NULL ? "https://[%s]:8443" : "https://%s:8443", host);
    return rc;
}

static int check_https(const struct identity *out, struct err *err)
{
    struct https_url url;
    uint8_t pin[HTTPS_PIN_BYTES];
    int rc = https_url_parse(out->https_server, &url, err);
    if (rc == 0 && out->https_pin[0] != '\0')
        rc = https_pin_parse(out->https_pin, pin, err);
    if (rc == 0 && out->https_pin[0] == '\0' && out->https_ca[0] == '\0')
        rc = err_set(
            err, ERR_CONFIG,
            "transport = https and auto need https_pin (the hub's log tells it when it starts) or https_ca");
    return rc;
}

static int fill_https(struct identity *out, const struct proxy_config *settings, struct err *err)
{
    static const struct {
        const char *name;
        enum uplink_transport transport;
    } transports[] = {{"zmq", UPLINK_ZMQ}, {"https", UPLINK_HTTPS}, {"auto", UPLINK_AUTO}};
    for (size_t i = 0; i < sizeof transports / sizeof *transports; i++)
        if (strcmp(settings->transport, transports[i].name) == 0)
            out->uplink.transport = transports[i].transport;
    int rc = fill_text(out->https_server, settings->https_server, "https_server", err);
    if (rc == 0)
        rc = fill_text(out->https_pin, settings->https_pin, "https_pin", err);
    if (rc == 0)
        rc = fill_text(out->https_ca, settings->https_ca, "https_ca", err);
    if (rc == 0)
        rc = fill_text(out->https_proxy, settings->https_proxy, "https_proxy", err);
    if (rc == 0 && out->https_server[0] == '\0')
        rc = derive_https_server(out, err);
    return rc == 0 && out->uplink.transport != UPLINK_ZMQ ? check_https(out, err) : rc;
}

/* A path of its own, or below the spool. */
static int fill_own_path(char *out, const struct proxy_config *settings, const char *set, const char *name,
                         struct err *err)
{
    if (set[0] == '\0')
        return fill_path(out, settings, name, err);
    return slice_to_string(slice_of(set), out, IDENTITY_PATH_BYTES) == 0
               ? 0
               : err_set(err, ERR_CONFIG, "%s is too long a path (shorten it)", name);
}

static int fill_ssh(struct identity *out, const struct proxy_config *settings, struct err *err)
{
    struct tunnel *tunnel = NULL;
    int rc = fill_text(out->via_ssh, settings->via_ssh, "via_ssh", err);
    if (rc == 0)
        rc = fill_own_path(out->ssh_key, settings, settings->ssh_key, "ssh.key", err);
    if (rc == 0)
        rc = fill_own_path(out->ssh_known_hosts, settings, settings->ssh_known_hosts, "ssh.known_hosts", err);
    if (rc == 0)
        rc = fill_path(out->ssh_socket, settings, "ssh", err);
    if (rc == 0)
        rc = uplink_open_tunnel(&tunnel, &out->uplink, "sock", err); /* checked; nothing is started */
    tunnel_close(&tunnel);
    return rc;
}

static int fill(struct identity *out, const struct proxy_config *settings, struct err *err)
{
    int rc = fill_edge_id(out, settings, err);
    process_runtime_dirs("policy-proxy", out->runtime_dirs);
    if (rc == 0)
        rc = fill_path(out->spool_dir, settings, "journal", err);
    if (rc == 0)
        rc = fill_path(out->key_file, settings, "edge.key", err);
    if (rc == 0)
        rc = fill_path(out->pid_file_in_spool, settings, "policy-proxy.pid", err);
    if (rc == 0)
        rc = fill_pid_file(out, settings, err);
    if (rc == 0)
        rc = fill_text(out->server, settings->server, "server", err);
    if (rc == 0)
        rc = fill_text(out->server_key, settings->server_key, "server_key", err);
    if (rc == 0)
        rc = fill_text(out->api_key, settings->api_key, "api_key", err);
    if (rc == 0)
        rc = check_pair(settings, err);
    out->uplink = (struct uplink_options){
        .server = out->server,
        .server_key = out->server_key,
        .key_file = out->key_file,
        .api_key = out->api_key,
        .edge_id = out->edge_id,
        .keepalive_us = KEEPALIVE_US,
        .https_server = out->https_server,
        .https_pin = out->https_pin,
        .https_ca = out->https_ca,
        .https_proxy = out->https_proxy,
        .via_ssh = out->via_ssh,
        .ssh_key = out->ssh_key,
        .ssh_known_hosts = out->ssh_known_hosts,
        .ssh_socket = out->ssh_socket,
    };
    if (rc == 0)
        rc = fill_https(out, settings, err);
    return rc == 0 ? fill_ssh(out, settings, err) : rc;
}

int identity_create(struct identity **out, const struct proxy_config *settings, struct err *err)
{
    struct identity *identity = calloc(1, sizeof *identity);
    if (identity == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for the identity");
    int rc = fill(identity, settings, err);
    if (rc == 0)
        *out = identity;
    else
        identity_destroy(&identity);
    return rc;
}

void identity_destroy(struct identity **identity)
{
    if (*identity != NULL)
        explicit_bzero((*identity)->api_key, sizeof(*identity)->api_key);
    free(*identity);
    *identity = NULL;
}

bool identity_can_greet(const struct identity *identity)
{
    return identity->uplink.server_key[0] != '\0';
}

bool identity_equal(const struct identity *a, const struct identity *b)
{
    return strcmp(a->uplink.server, b->uplink.server) == 0 &&
           strcmp(a->uplink.server_key, b->uplink.server_key) == 0 &&
           strcmp(a->uplink.api_key, b->uplink.api_key) == 0 && strcmp(a->edge_id, b->edge_id) == 0 &&
           a->uplink.transport == b->uplink.transport && strcmp(a->https_server, b->https_server) == 0 &&
           strcmp(a->https_pin, b->https_pin) == 0 && strcmp(a->https_ca, b->https_ca) == 0 &&
           strcmp(a->https_proxy, b->https_proxy) == 0 && strcmp(a->via_ssh, b->via_ssh) == 0 &&
           strcmp(a->ssh_key, b->ssh_key) == 0 && strcmp(a->ssh_known_hosts, b->ssh_known_hosts) == 0;
}

void identity_ring_dirs(const struct identity *identity, const char **dirs)
{
    dirs[0] = identity->runtime_dirs[0];
    dirs[1] = identity->runtime_dirs[1];
    dirs[2] = "/dev/shm";
}

int identity_prepare_directory(const struct proxy_config *settings, struct err *err)
{
    if (access(settings->spool, F_OK) != 0 && mkdir(settings->spool, 0700) != 0 && errno != EEXIST)
        return err_errno(err, errno, "spool %s cannot be made (make its parent directory first)",
                         settings->spool);
    return process_give(settings->user, settings->spool, err);
}
