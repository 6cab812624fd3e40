"""tools/stack DIR: a hub and a proxy with all their data below DIR on free loopback ports, for tests and benchmarks.

Starts both (the release build, built when it is missing; $STACK_BUILD names another), starts again within a second what
dies, and stops everything on SIGTERM or Ctrl-C. Prints a line that begins with "ready" once both answer. DIR/env holds
shell variables and is replaced as a whole whenever a pid changes:

  POLICY_ADDR HUB_PID PROXY_PID WIRE_ADDR WIRE_LOCAL_ADDR SERVER_KEY INGEST_KEY READ_KEY METRICS_URL HUB_METRICS_URL HTTP_URL
  TENANT DATA_DIR CLI PROXY MAIL_ANALYTICS_CONFIG POLICY_PROXY_CONFIG

The one tenant owns example.com with its subdomains, relays relay.example and trusts 192.0.2.0/24 and 2001:db8:1::/48.
Settings can be changed by the environment (MAIL_ANALYTICS_<KEY>, POLICY_PROXY_<KEY>). A second start on the same DIR
keeps data, keys and, when they are free, ports."""
import pathlib
import shlex
import sys

import supervisor
from supervisor import Failed, Supervisor

TENANT = "example"


def fixture(keys):
    return {"tenants": [{
        "name": TENANT,
        "domains": [{"name": "example.com", "subdomains": True}],
        "relayed": ["relay.example"],
        "networks": ["192.0.2.0/24", "2001:db8:1::/48"],
        "apikeys": [{"name": "ingest", "scopes": ["ingest"], "key": keys["ingest"]},
                    {"name": "read", "scopes": ["read"], "key": keys["read"]}],
    }]}


def choose_ports(earlier):
    taken, ports = set(), {}
    for name in ("policy", "wire", "local", "metrics", "hub_metrics", "http"):
        port = earlier.get(name)
        ports[name] = port if port and port not in taken else supervisor.free_port(taken)
        taken.add(ports[name])
    return ports


def write_env(directory, build, ports, keys, server_key, pids):
    url, etc = "http://127.0.0.1:{}/metrics", directory / "etc"
    variables = {
        "POLICY_ADDR": f"127.0.0.1:{ports['policy']}",
        "WIRE_ADDR": f"tcp://127.0.0.1:{ports['wire']}",
        "WIRE_LOCAL_ADDR": f"tcp://127.0.0.1:{ports['local']}",
        "SERVER_KEY": server_key,
        "INGEST_KEY": keys["ingest"],
        "READ_KEY": keys["read"],
        **pids,
        "METRICS_URL": url.format(ports["metrics"]),
        "HUB_METRICS_URL": url.format(ports["hub_metrics"]),
        "HTTP_URL": f"http://127.0.0.1:{ports['http']}",
        "MAIL_ANALYTICS_CONFIG": etc,
        "POLICY_PROXY_CONFIG": etc,
        "TENANT": TENANT,
        "DATA_DIR": directory,
        "CLI": build / "src/main/mail-analytics",
        "PROXY": build / "src/main/policy-proxy",
    }
    text = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items())
    supervisor.write_private(directory / "env", text)


def run(directory):
    build = supervisor.build_directory()
    ring = supervisor.ring_directory(directory)
    state = supervisor.remembered(directory)
    ports = choose_ports(state.get("ports", {}))
    keys = state.get("keys") or {"ingest": supervisor.make_key(), "read": supervisor.make_key()}
    server_key = supervisor.prepare(directory, build / "src/main/mail-analytics", ports, keys, ring, "stack-edge",
                                    None if state else fixture(keys))
    supervisor.remember(directory, {"ports": ports, "keys": keys})
    proxy, hub = supervisor.pair(build, directory, ports, supervisor.listen(ports["policy"]))
    stack = Supervisor([proxy, hub], lambda: write_env(directory, build, ports, keys, server_key,
                                                       {"HUB_PID": hub.pid, "PROXY_PID": proxy.pid}))
    ended_well = False
    try:
        if stack.start():
            print(f"ready: policy service on 127.0.0.1:{ports['policy']}, variables in {directory}/env", flush=True)
            while stack.turn(60):
                pass
    finally:
        ended_well = stack.stop()
        supervisor.remove_ring(ring, proxy.status in (0, None))
    return 0 if ended_well else 1


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 64
    directory = pathlib.Path(sys.argv[1]).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    return run(directory)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        print(f"stack: {failure}", file=sys.stderr)
        sys.exit(70)
    except KeyboardInterrupt:
        sys.exit(130)
