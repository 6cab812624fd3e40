/* SPDX-License-Identifier: Apache-2.0
 *
 * uplink_options: what an uplink was given, checked and copied.
 */
#include "uplink_impl.h"

#include <stdio.h>

static int copy(char *out, size_t size, const char *text, const char *what, struct err *err)
{
    if (text != NULL && text[0] != '\0' && slice_to_string(slice_of(text), out, size) == 0)
        return 0;
    return err_set(err, ERR_CONFIG, "%s is missing or too long: set it", what);
}

/* Whose name is looked up, as an endpoint. */
static int choose_target(struct uplink *u, const char *proxy, struct err *err)
{
    char host[CURVE_HOST_BYTES], port[CURVE_PORT_BYTES];
    bool six = strchr(u->https.url.host, ':') != NULL;
    u->https.proxied = proxy != NULL && proxy[0] != '\0';
    int n = u->https.proxied ? snprintf(u->https_to, sizeof u->https_to, "tcp://%s", proxy)
                             : snprintf(u->https_to, sizeof u->https_to, "tcp://%s%s%s:%s", six ? "[" : "",
                                        u->https.url.host, six ? "]" : "", u->https.url.port);
    if (n >= (int)sizeof u->https_to || curve_endpoint_split(u->https_to, host, port, NULL) != 0)
        return err_set(err, ERR_CONFIG,
                       u->https.proxied ? "https_proxy '%s' is no HOST:PORT" : "https_server is too long",
                       proxy);
    return 0;
}

static int take_https(struct uplink *u, const struct uplink_options *options, struct err *err)
{
    const char *ca = options->https_ca != NULL ? options->https_ca : "";
    const char *pin = options->https_pin != NULL ? options->https_pin : "";
    int rc = https_url_parse(options->https_server != NULL ? options->https_server : "", &u->https.url, err);
    u->https.pinned = pin[0] != '\0';
    if (rc == 0 && u->https.pinned)
        rc = https_pin_parse(pin, u->https.pin, err);
    if (rc == 0 && slice_to_string(slice_of(ca), u->https_ca, sizeof u->https_ca) != 0)
        rc = err_set(err, ERR_CONFIG, "https_ca is too long a path");
    if (rc == 0 && ca[0] == '\0' && !u->https.pinned)
        rc = err_set(err, ERR_CONFIG, "https_pin or https_ca is missing: how else is the hub to be known?");
    u->https.ca_file = u->https_ca;
    return rc == 0 ? choose_target(u, options->https_proxy, err) : rc;
}

int uplink_open_tunnel(struct tunnel **out, const struct uplink_options *options, const char *name,
                       struct err *err)
{
    char host[CURVE_HOST_BYTES], port[CURVE_PORT_BYTES], path[TUNNEL_PATH_BYTES];
    *out = NULL;
    if (options->via_ssh == NULL || options->via_ssh[0] == '\0')
        return 0;
    int rc = curve_endpoint_split(options->server, host, port, err);
    if (rc == 0 && options->transport != UPLINK_ZMQ)
        rc = err_set(err, ERR_CONFIG, "via_ssh goes with transport = zmq only");
    if (rc == 0 && snprintf(path, sizeof path, "%s.%s", options->ssh_socket, name) >= (int)sizeof path)
        rc = err_set(err, ERR_CONFIG, "spool is too long a path for via_ssh");
    struct tunnel_options tunnel = {
        .via = options->via_ssh,
        .key_file = options->ssh_key,
        .known_hosts = options->ssh_known_hosts,
        .socket = path,
        .to_host = host,
        .to_port = port,
    };
    return rc == 0 ? tunnel_open(out, &tunnel, err) : rc;
}

int uplink_take_options(struct uplink *u, const struct uplink_options *options, struct err *err)
{
    char host[CURVE_HOST_BYTES], port[CURVE_PORT_BYTES];
    int rc = copy(u->server, sizeof u->server, options->server, "server", err);
    if (rc == 0)
        rc = curve_endpoint_split(u->server, host, port, err);
    if (rc == 0)
        rc = copy(u->server_key, sizeof u->server_key, options->server_key, "server_key", err);
    if (rc == 0)
        rc = curve_key_check(u->server_key, err);
    if (rc == 0)
        rc = copy(u->api_key, sizeof u->api_key, options->api_key, "api_key", err);
    if (rc == 0)
        rc = copy(u->edge_id, sizeof u->edge_id, options->edge_id, "edge_id", err);
    if (rc == 0 && !batch_edge_valid(slice_of(u->edge_id)))
        rc =
            err_set(err, ERR_CONFIG, "edge_id '%s' may have letters, digits, '.', '-', '_' only", u->edge_id);
    u->keepalive_us = options->keepalive_us > 0 ? options->keepalive_us : 10 * US_PER_SECOND;
    u->transport = options->transport;
    u->by_https = u->transport == UPLINK_HTTPS;
    if (rc == 0)
        rc = uplink_open_tunnel(&u->tunnel, options, "sock", err);
    return rc == 0 && u->transport != UPLINK_ZMQ ? take_https(u, options, err) : rc;
}
