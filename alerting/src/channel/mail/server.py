"""A real SMTP server for the tests: takes mail, prints each as one line of JSON on stdout.

Usage: server.py PLAIN|STARTTLS|TLS [CERTIFICATE KEY [USER PASSWORD]]
The first line printed is the port. The local part of a recipient makes it answer:
`busy` 451 at its first mail, `gone` 550 always.
"""

import json
import ssl
import sys
import time

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

busy = set()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        local = address.split("@")[0]
        if local == "gone":
            return "550 5.1.1 no such user"
        if local == "busy" and address not in busy:
            busy.add(address)
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.content.decode("utf-8"),
            "tls": session.ssl is not None,
            "authenticated": session.authenticated,
        }), flush=True)
        return "250 OK"


mode, files, login = sys.argv[1], sys.argv[2:4], sys.argv[4:6]
context = None
if mode != "PLAIN":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)


class Server(Controller):
    def factory(self):
        def check(server, session, envelope, mechanism, data):
            given = [data.login.decode(), data.password.decode()]
            return AuthResult(success=given == login)

        return SMTP(
            Handler(),
            hostname="localhost",
            tls_context=context if mode == "STARTTLS" else None,
            require_starttls=mode == "STARTTLS",
            authenticator=check if login else None,
            auth_required=bool(login),
            auth_require_tls=True,
        )


server = Server(
    Handler(), hostname="127.0.0.1", port=0, ssl_context=context if mode == "TLS" else None
)
# The controller connects to its own port to see whether it works; port 0 is not known to it.
server._trigger_server = lambda: None
server.start()
print(server.server.sockets[0].getsockname()[1], flush=True)
while True:
    time.sleep(60)
