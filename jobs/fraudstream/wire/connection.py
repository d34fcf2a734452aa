"""One connection to a broker."""

from __future__ import annotations

import contextlib
import socket
import struct

from fraudstream.wire import login
from fraudstream.wire.client import Address, Client, tls_context
from fraudstream.wire.errors import require
from fraudstream.wire.fields import NO_TAGS, Cursor

_NAME = b"fraudstream"
_MAX_RESPONSE = 1 << 30
_BUFFER = 4 << 20  # what a broker may send ahead while the last response is read
_HANDSHAKE, _AUTHENTICATE = 17, 36


class Connection:
    """A connection on which requests are answered in their order. Raises OSError where it breaks."""

    def __init__(self, client: Client, address: Address, timeout: float) -> None:
        """Connects and, where the client says so, logs in. Nothing waits for longer than `timeout` seconds."""
        self._sent = self._received = 0
        self._socket: socket.socket = socket.create_connection(address, timeout)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            if client.protocol.endswith("SSL"):
                self._socket = tls_context(client).wrap_socket(self._socket, server_hostname=address[0])
            if client.mechanism:
                self._log_in(client)
        except BaseException:
            self.close()
            raise

    def call(self, api: int, version: int, body: bytes) -> Cursor:
        """The response to a request of a flexible version."""
        self.send(api, version, body)
        return self.receive()

    def send(self, api: int, version: int, body: bytes) -> None:
        """Ask; `receive` gives the answers in the order of the questions."""
        self._send(api, version, NO_TAGS + body)

    def receive(self) -> Cursor:
        """The next response, from its first field on."""
        found = self._receive()
        found.tags()
        return found

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked that is not answered."""
        return self._sent == self._received

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _send(self, api: int, version: int, body: bytes) -> None:
        self._sent += 1
        head = struct.pack(">hhih", api, version, self._sent, len(_NAME)) + _NAME
        self._socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)

    def _receive(self) -> Cursor:
        (size,) = struct.unpack(">i", self._exactly(4))
        if not 4 <= size <= _MAX_RESPONSE:
            raise ConnectionError(f"a response of {size} bytes: this is no Kafka broker, or it speaks TLS")
        found = Cursor(self._exactly(size))
        self._received += 1
        if found.int32() != self._received:
            raise ConnectionError("a response to another request")
        return found

    def _exactly(self, size: int) -> memoryview:
        data = memoryview(bytearray(size))
        got = 0
        while got < size:
            read = self._socket.recv_into(data[got:])
            if not read:
                raise ConnectionError("the broker has closed the connection")
            got += read
        return data

    def _log_in(self, client: Client) -> None:
        name = client.mechanism.encode()
        self._send(_HANDSHAKE, 1, struct.pack(">h", len(name)) + name)
        found = self._receive()
        code, offered = found.int16(), found.short_array(found.short_text)
        require(code, f"logging in by {client.mechanism}", f"it offers {', '.join(offered)}")
        login.log_in(client, lambda message: self._authenticate(client, message))

    def _authenticate(self, client: Client, message: bytes) -> bytes:
        self._send(_AUTHENTICATE, 1, struct.pack(">i", len(message)) + message)
        found = self._receive()
        code, reason, answer = found.int16(), found.short_text(), bytes(found.long_bytes())
        require(code, f"logging in as {client.username}", reason)
        return answer
