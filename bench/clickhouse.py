# SPDX-License-Identifier: Apache-2.0
"""clickhouse: Debian's ClickHouse 18.16 on loopback with data of its own, given the rows that `panels --tsv` writes and asked
the questions of questions.def in its own SQL. Its table is ordered by tenant and time and has the narrowest types it knows."""
import http.client
import pathlib
import re
import subprocess
import time

import harness

CONFIG = """<yandex>
<logger><level>warning</level><log>{dir}/log</log><errorlog>{dir}/errors</errorlog></logger>
<http_port>{http}</http_port><tcp_port>{tcp}</tcp_port><interserver_http_port>{inter}</interserver_http_port>
<listen_host>127.0.0.1</listen_host><path>{dir}/data/</path><tmp_path>{dir}/tmp/</tmp_path>
<users_config>{dir}/users.xml</users_config><mark_cache_size>268435456</mark_cache_size>
<remote_servers/><zookeeper/><macros/>
</yandex>
"""
USERS = """<yandex><profiles><default/></profiles><quotas><default/></quotas><users><default><password/><profile>default</profile>
<quota>default</quota><networks><ip>127.0.0.1</ip></networks></default></users></yandex>
"""
TABLE = """CREATE TABLE events (tenant UInt32, ts DateTime, stage Enum8('RCPT'=5,'END-OF-MESSAGE'=7),
direction Enum8('in'=1,'out'=2,'internal'=3), message_id FixedString(16), first_of_message UInt8, recipients UInt32,
sender String, sender_domain String, recipient String, recipient_domain String, client_address UInt32, client_name String,
helo_name String, sasl_username String, size UInt64) ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY (tenant, ts)"""
START_S = 1772323200  # FIXTURE_START_US


def server_sql(text, end_s, tenant):
    """A question's SQL as ClickHouse says it."""
    for token, hours in (("@24h", 24), ("@7d", 168), ("@30d", 720)):
        text = text.replace(token, f"toDateTime({end_s - hours * 3600})")
    text = text.replace("@day(ts)", "toDate(ts)").replace("@hour(ts)", "toStartOfHour(ts)")
    return text.replace("@t", str(tenant))


class ClickHouse:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory).resolve()
        self.dir.mkdir(parents=True)
        self.port = harness.free_port()
        (self.dir / "config.xml").write_text(CONFIG.format(dir=self.dir, http=self.port, tcp=harness.free_port(),
                                                           inter=harness.free_port()))
        (self.dir / "users.xml").write_text(USERS)
        try:
            self.process = subprocess.Popen(["clickhouse-server", f"--config-file={self.dir}/config.xml"],
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise SystemExit("bench: clickhouse-server is missing: run `make bench`, or install that package") from None
        harness.wait_until(lambda: self.ask("SELECT 1") == "1\n", "ClickHouse is up")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def ask(self, sql, body=None):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            client.request("POST", "/?" + ("query=" + sql.replace(" ", "%20") if body else ""), body or sql)
            reply = client.getresponse()
            text = reply.read().decode()
        finally:
            client.close()
        if reply.status != 200:
            raise SystemExit(f"bench: ClickHouse: {text.strip()}\nbench: of: {sql}")
        return text

    def load(self, tsv):
        """tsv: an open pipe, sent as it comes."""
        self.ask(re.sub(r"\s+", " ", TABLE))
        self.ask("INSERT INTO events FORMAT TSV", iter(lambda: tsv.read(1 << 20), b""))
        self.ask("OPTIMIZE TABLE events FINAL")
        return int(self.ask("SELECT count(*) FROM events"))

    def bytes(self):
        return int(self.ask("SELECT sum(bytes) FROM system.parts WHERE active AND table = 'events'"))

    def time_ms(self, sql):
        """Milliseconds, and the rows of the answer."""
        began = time.perf_counter()
        text = self.ask(sql)
        return (time.perf_counter() - began) * 1000, text.count("\n")
