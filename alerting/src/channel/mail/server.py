"""A real SMTP server for the tests: takes mail, prints each as one line of JSON on stdout.

Usage: server.py PLAIN|STARTTLS|TLS [CERTIFICATE KEY [USER PASSWORD]]
The first line printed is the port. The local part of a recipient makes it answer:
`busy` 451 at its first mail, `gone` 550 always.
"""

import asyncio
import json
import ssl
import sys

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
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "authenticated": session.authenticated,
        }), flush=True)
        return "250 OK"


mode, files, login = sys.argv[1], sys.argv[2:4], sys.argv[4:6]
context = None
if mode != "PLAIN":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)


def check(server, session, envelope, mechanism, data):
    given = [data.login.decode(), data.password.decode()]
    # Not handled: the server itself answers 535.
    return AuthResult(success=given == login, handled=False)


def connection():
    return SMTP(
        Handler(),
        hostname="localhost",
        tls_context=context if mode == "STARTTLS" else None,
        require_starttls=mode == "STARTTLS",
        authenticator=check if login else None,
        auth_required=bool(login),
    )


async def main():
    secured = context if mode == "TLS" else None
    server = await asyncio.get_running_loop().create_server(
        connection, "127.0.0.1", 0, ssl=secured
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
