# SPDX-License-Identifier: Apache-2.0
"""postfix: a real Postfix with a configuration and queue of its own, smtp-sink behind it, and swaks in front of it.
XCLIENT stands for clients from anywhere. Each place where main.cf may ask has an smtpd port of its own."""
import os
import pathlib
import pwd
import socket
import subprocess

from harness import LIMIT_S, free_port, wait_until

POLICY = "check_policy_service {{ inet:127.0.0.1:{port}, timeout=2s, try_limit=2, default_action=DUNNO, policy_context={place} }}"

# Where main.cf may ask: smtpd options with $ask_<place>. Between them stands what a Postfix usually has there.
_USUAL = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"
PLACES = {
    "client": {"smtpd_client_restrictions": "$ask_client"},
    "relay_first": {"smtpd_relay_restrictions": f"$ask_relay_first, {_USUAL}"},
    "relay_last": {"smtpd_relay_restrictions": f"{_USUAL}, $ask_relay_last"},
    "recipient_first": {"smtpd_recipient_restrictions": f"$ask_recipient_first, {_USUAL}"},
    "recipient_last": {"smtpd_recipient_restrictions": f"{_USUAL}, $ask_recipient_last"},
    "data": {"smtpd_data_restrictions": "$ask_data"},
    "end_of_data": {"smtpd_end_of_data_restrictions": "$ask_end_of_data"},
    # What the manual recommends: strangers' relay attempts as well, and the end of each message.
    "manual": {"smtpd_client_restrictions": "$ask_manual", "smtpd_end_of_data_restrictions": "$ask_manual"},
}


class Client:
    """Who speaks to smtpd: as XCLIENT says."""

    def __init__(self, address, name="[UNAVAILABLE]", login=None, helo="client.example"):
        self.address, self.login, self.helo = address, login, helo
        self.xclient = f"ADDR={'IPV6:' if ':' in address else ''}{address} NAME={name}"


STRANGER = Client("203.0.113.7", "mail.sender.example")
STRANGER_V6 = Client("2001:db8:7::25")
TRUSTED = Client("192.0.2.9", "pc.example.com")
TRUSTED_V6 = Client("2001:db8:0:1::9")
LOGGED_IN = Client("198.51.100.4", login="alice")
PASSWORD = "open sesame"


def swaks(port, client, sender, recipients, tls=False, extra=()):
    """One message; swaks' exit status (0: accepted)."""
    args = ["swaks", "--server", "127.0.0.1", "--port", str(port), "--xclient", client.xclient, "--ehlo", client.helo,
            "--from", sender, "--to", ",".join(recipients), "--hide-all", "--timeout", str(LIMIT_S), *extra]
    if client.login:
        args += ["--auth", "PLAIN", "--auth-user", client.login, "--auth-password", PASSWORD]
    if tls:
        args.append("--tls")
    return subprocess.run(args, capture_output=True, timeout=LIMIT_S * 2).returncode


class Session:
    """SMTP by the byte, for what swaks can't say: SMTPUTF8, and bytes that are no text."""

    def __init__(self, port, client):
        self.fd = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self.file = self.fd.makefile("rb")
        self.reply()
        self.say(b"EHLO " + client.helo.encode())
        self.say(b"XCLIENT " + client.xclient.encode())
        self.say(b"EHLO " + client.helo.encode())

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                return int(line[:3] or b"0")

    def say(self, line):
        self.fd.sendall(line + b"\r\n")
        return self.reply()

    def message(self, mail, recipients, text=b"Subject: x\r\n\r\nx"):
        """MAIL, RCPT for each, DATA; the codes."""
        codes = [self.say(b"MAIL FROM:" + mail)] + [self.say(b"RCPT TO:" + to) for to in recipients]
        codes.append(self.say(b"DATA"))
        if codes[-1] == 354:
            codes.append(self.say(text + b"\r\n."))
        return codes

    def close(self):
        self.say(b"QUIT")
        self.fd.close()


class Postfix:
    def __init__(self, directory, policy_port, smtputf8=True):
        self.dir, self.smtputf8 = pathlib.Path(directory), smtputf8
        self.policy_port = policy_port
        self.sink_port = free_port()
        self.ports = {place: free_port() for place in PLACES}
        self.sink = None

    def start(self):
        for name in ("etc", "queue", "data"):
            (self.dir / name).mkdir(parents=True)
        os.chmod(self.dir, 0o755)
        os.chown(self.dir / "data", pwd.getpwnam("postfix").pw_uid, -1)
        self._certificate()
        self._logins()
        (self.dir / "etc/main.cf").write_text(self._main())
        (self.dir / "etc/master.cf").write_text(self._master())
        (self.dir / "etc/users").write_text(
            "".join(f"u{i}@example.com x\n" for i in range(60)) + "üser@example.com x\n@bulk.example x\n", "utf-8"
        )
        self.sink = subprocess.Popen(
            ["smtp-sink", "-u", "postfix", "-c", f"127.0.0.1:{self.sink_port}", "1000"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        self._postfix("start")
        for port in self.ports.values():
            wait_until(lambda port=port: socket.create_connection(("127.0.0.1", port), 5).close() or True, "smtpd up")
        return self

    def stop(self):
        self._postfix("stop")
        if self.sink:
            self.sink.terminate()
            self.sink.wait(LIMIT_S)

    def log(self):
        path = self.dir / "mail.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _postfix(self, verb):
        done = subprocess.run(["postfix", "-c", str(self.dir / "etc"), verb], capture_output=True, text=True, timeout=LIMIT_S)
        if done.returncode != 0:
            raise AssertionError(f"postfix {verb}: {done.stderr}{self.log()[-2000:]}")

    def _certificate(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mx.example.com",
             "-keyout", self.dir / "key.pem", "-out", self.dir / "cert.pem"],
            check=True, capture_output=True,
        )

    def _logins(self):
        """Cyrus SASL with a password file of its own."""
        (self.dir / "etc/sasl").mkdir()
        database = self.dir / "etc/sasldb2"
        (self.dir / "etc/sasl/smtpd.conf").write_text(
            f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {database}\nmech_list: PLAIN LOGIN\n"
        )
        subprocess.run(["saslpasswd2", "-p", "-c", "-f", database, "-u", "mx.example.com", LOGGED_IN.login],
                       input=PASSWORD, text=True, check=True, capture_output=True)
        os.chown(database, pwd.getpwnam("postfix").pw_uid, -1)

    def _main(self):
        asks = "\n".join(
            f"ask_{place} = {POLICY.format(port=self.policy_port, place=place)}" for place in PLACES
        )
        return f"""compatibility_level = 3.6
queue_directory = {self.dir}/queue
data_directory = {self.dir}/data
command_directory = /usr/sbin
daemon_directory = {_daemon_directory()}
maillog_file = {self.dir}/mail.log
maillog_file_prefixes = /{self.dir.parts[1]}
inet_interfaces = 127.0.0.1
inet_protocols = all
myhostname = mx.example.com
mydestination =
virtual_mailbox_domains = example.com, bulk.example
virtual_mailbox_maps = texthash:{self.dir}/etc/users
virtual_transport = smtp:[127.0.0.1]:{self.sink_port}
relay_domains = relayed.example
default_transport = smtp:[127.0.0.1]:{self.sink_port}
relay_transport = smtp:[127.0.0.1]:{self.sink_port}
alias_maps =
mynetworks = 192.0.2.0/24, [2001:db8:0:1::]/64
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_tls_security_level = may
smtpd_tls_cert_file = {self.dir}/cert.pem
smtpd_tls_key_file = {self.dir}/key.pem
smtputf8_enable = {'yes' if self.smtputf8 else 'no'}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
cyrus_sasl_config_path = {self.dir}/etc/sasl
smtpd_sasl_local_domain = mx.example.com
smtpd_recipient_limit = 100
smtpd_client_connection_count_limit = 0
smtpd_relay_restrictions = {_USUAL}
{asks}
"""

    def _master(self):
        services = []
        for place, options in PLACES.items():
            lines = "".join(f"\n  -o {{ {name} = {value} }}" for name, value in options.items())
            services.append(f"127.0.0.1:{self.ports[place]} inet n - n - - smtpd{lines}")
        services += [
            "pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr",
            "tlsmgr unix - - n 1000? 1 tlsmgr", "rewrite unix - - n - - trivial-rewrite", "bounce unix - - n - 0 bounce",
            "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "verify unix - - n - 1 verify",
            "flush unix n - n 1000? 0 flush", "proxymap unix - - n - - proxymap", "smtp unix - - n - - smtp",
            "error unix - - n - - error", "retry unix - - n - - error", "discard unix - - n - - discard",
            "anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache", "postlog unix-dgram n - n - 1 postlogd",
        ]
        return "\n".join(services) + "\n"


def _daemon_directory():
    return subprocess.run(["postconf", "-hd", "daemon_directory"], capture_output=True, text=True, check=True).stdout.strip()
