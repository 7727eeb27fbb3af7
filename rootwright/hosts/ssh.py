"""A host reached over SSH, with fabric."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fabric
import paramiko
import pexpect
from fabric.tunnels import Tunnel
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import cMSG_CHANNEL_REQUEST, cMSG_SERVICE_REQUEST
from paramiko.transport import ServiceRequestingTransport

from rootwright.errors import HostError, RootwrightError
from rootwright.hosts.base import ByteStream, Host, PasswordPrompt, last_of
from rootwright.hosts.host_keys import check_host_keys
from rootwright.hosts.terminal import READ_SIZE, Bounded, Spawn, Terminal
from rootwright.text import harmless

if TYPE_CHECKING:
    from rootwright.inventory import HostSpec

STREAM_WINDOW = 16 * 1024 * 1024
"""Bytes in flight on a stream: enough for 300 MB/s at 50 ms, and the most that waits in memory."""

CONNECT_TIMEOUT = 15
"""Seconds to wait until a host lets us in, and again until it says what it is."""

KEEPALIVE = 15
"""Seconds between two questions whether the host is still there."""

KEEPALIVE_PATIENCE = 25
"""Seconds an answer may take; with the interval, a dead host is noticed within 40."""

HOST_PATIENCE = 90
"""Seconds after which a host that hears nothing from us ends our connection, and so the session."""

# What the host does about it. It is the connection's own process, sshd's, whose end hangs up the
# session's terminal; the network may take hours to tell it that we are gone.
_LEASH = """exec sh -c 'while beat=$(timeout %d head -n 1) && [ -n "$beat" ]; do :; done
case $(cat /proc/$PPID/comm) in sshd* | dropbear*) kill $PPID ;; esac'"""

# Every failure is raised to us as well; unhandled, the log would print on people's terminals.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SSHHost(Host):
    """A machine reached over SSH."""

    def __init__(self, spec: HostSpec, ask: PasswordPrompt, accept_new: bool) -> None:
        """Connect.

        accept_new: remember the key of a host that was never seen, instead of refusing it.
        Raises HostKeyError or HostError.
        """
        super().__init__(spec.name, spec.become, ask)
        options: dict[str, Any] = (
            {"key_filename": str(Path(spec.key).expanduser())} if spec.key else {}
        )
        try:
            self._connection = fabric.Connection(
                spec.address or spec.name,
                user=spec.user,
                port=spec.port,
                connect_kwargs=options,
            )
            self._hops = _hops(self._connection)
        except Exception as e:  # an unreadable ~/.ssh/config, for one
            raise _unreachable(self.name, e) from None
        try:
            for hop in self._hops:
                self._open(hop, accept_new)
        except BaseException:
            self._leave()
            raise
        self._transport: paramiko.Transport = self._connection.transport
        _acknowledge_at_once(self._transport.sock)
        self._closing = threading.Event()
        threading.Thread(target=self._keep_alive, daemon=True).start()

    def _open(self, hop: fabric.Connection, accept_new: bool) -> None:
        """Connect to a gateway or, last, to the host itself."""
        hop.connect_timeout = CONNECT_TIMEOUT
        try:
            known = check_host_keys(hop, self.name, accept_new)
            hop.connect_kwargs = {
                **hop.connect_kwargs,
                "banner_timeout": CONNECT_TIMEOUT,
                "transport_factory": functools.partial(_quick_transport, known),
            }
            hop.open()
        except RootwrightError:
            raise
        except Exception as e:  # paramiko, socket and fabric raise a dozen unrelated types
            raise _unreachable(self.name, e, hop.gateway) from None
        if hop is not self._connection:
            # How long a gateway may take to reach the next host; paramiko would wait an hour.
            hop.transport.channel_timeout = CONNECT_TIMEOUT

    def _keep_alive(self) -> None:
        """Ask the host every now and then whether it is there; hang up when it does not say so.

        paramiko's own keepalive sends questions but does not wait for answers, and TCP's notices
        only what is lost below it. The host is told that we are there, too: from the first question
        on, so that a short play need not pay for it.
        """
        leash: paramiko.Channel | None = None
        while not self._closing.wait(KEEPALIVE) and self._transport.is_active():
            with contextlib.suppress(Exception):  # a server may allow us no further channel
                leash = leash or self._put_on_leash()
                leash.sendall(b"beat\n")
            patience = threading.Timer(KEEPALIVE_PATIENCE, self._give_up)
            patience.daemon = True
            patience.start()
            with contextlib.suppress(Exception):
                self._transport.global_request("keepalive@openssh.com", wait=True)
            patience.cancel()

    def _put_on_leash(self) -> paramiko.Channel:
        channel = self._transport.open_session(timeout=KEEPALIVE_PATIENCE)
        channel.exec_command(_LEASH % HOST_PATIENCE)
        return channel

    def _give_up(self) -> None:
        self.lost = f"the host has not answered for {KEEPALIVE_PATIENCE} seconds"
        self._transport.close()

    @contextlib.contextmanager
    def _channel(self, **options: Any) -> Iterator[paramiko.Channel]:
        """Open a channel and start something on it."""
        try:
            yield self._transport.open_session(**options)
        except (paramiko.SSHException, OSError, EOFError) as e:
            raise _unreachable(self.name, e) from None

    def _start_terminal(self, command: str) -> Terminal:
        with self._channel() as channel:
            _ask_for_terminal(channel)
            channel.exec_command(command)
            return ChannelTerminal(channel, self.name)

    def _start_stream(self, command: str, first_line: bytes) -> ByteStream:
        with self._channel(window_size=STREAM_WINDOW, max_packet_size=128 * 1024) as channel:
            channel.exec_command(command)
            if first_line:
                channel.sendall(first_line)
            channel.shutdown_write()
            return _ChannelStream(channel)

    def reach(self, port: int) -> int:
        """Have the host listen on its loopback and pass connections on to ours (``ssh -R``)."""
        try:
            return self._transport.request_port_forward(
                "127.0.0.1", 0, lambda channel, *_: _pass_on(channel, port)
            )
        except (paramiko.SSHException, OSError, EOFError) as e:
            raise HostError(
                f"the host does not let us open a tunnel back: {harmless(str(e))}",
                where=self.name,
                hint="its sshd must allow it: AllowTcpForwarding yes",
            ) from None

    def hang_up(self) -> None:
        """Close the connection, from any thread."""
        self._transport.close()

    def close(self) -> None:
        """Close the connection and those to its gateways."""
        self._closing.set()
        self._leave()

    def _leave(self) -> None:
        for hop in reversed(self._hops):
            with contextlib.suppress(Exception):
                hop.close()


def _pass_on(channel: paramiko.Channel, port: int) -> None:
    """Connect a forwarded channel to a port of our loopback."""
    try:
        connection = socket.create_connection(("127.0.0.1", port))
    except OSError:
        channel.close()
        return
    tunnel = Tunnel(channel=channel, sock=connection, finished=threading.Event())
    tunnel.socket_chunk_size = tunnel.channel_chunk_size = READ_SIZE
    tunnel.daemon = True
    tunnel.start()


class _ChannelStream(ByteStream):
    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._errors = b""
        # Error output shares the window with the data: left alone it would stop the stream.
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def _drain(self) -> None:
        self._errors = last_of(self._error_output())

    def _error_output(self) -> Iterator[bytes]:
        with contextlib.suppress(OSError, EOFError):
            while chunk := self._channel.recv_stderr(READ_SIZE):
                yield chunk

    def read(self, size: int) -> bytes:
        return self._channel.recv(size)

    def finish(self) -> tuple[int, str]:
        status = self._channel.recv_exit_status()
        self._reader.join()
        return status, self._errors.decode(errors="backslashreplace")

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()


class _ChannelSpawn(Spawn):
    """pexpect over an SSH channel that has a terminal on its far side."""

    def __init__(self, channel: paramiko.Channel) -> None:
        super().__init__(timeout=None, maxread=READ_SIZE)
        self.channel = channel
        self.delayafterread = None
        self.closed = False

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> bytes:
        self.channel.settimeout(timeout)
        try:
            data = self.channel.recv(size)
        except TimeoutError:
            raise pexpect.TIMEOUT("nothing to read") from None
        except OSError as e:
            raise pexpect.EOF(str(e)) from None
        if not data:
            raise pexpect.EOF("the channel is closed")
        return data


class _BoundedChannelSpawn(Bounded, _ChannelSpawn):
    pass


def _ask_for_terminal(channel: paramiko.Channel) -> None:
    """Ask for a terminal and do not wait for the answer: paramiko's get_pty takes a round trip.

    Where none is given, the keeper finds none and says so. RFC 4254, 6.2.
    """
    ask = paramiko.Message()
    ask.add_byte(cMSG_CHANNEL_REQUEST)
    ask.add_int(channel.remote_chanid)
    ask.add_string("pty-req")
    ask.add_boolean(False)  # no answer
    ask.add_string("dumb")
    for size in (200, 24, 0, 0):  # columns and rows, then pixels, which do not count
        ask.add_int(size)
    ask.add_string("")  # modes: the host's own
    channel.get_transport().packetizer.send_message(ask)


class ChannelTerminal(Terminal):
    """A shell at the far end of an SSH channel."""

    def __init__(self, channel: paramiko.Channel, name: str) -> None:
        """Take over an open channel on which the program already runs."""
        self._channel = channel
        super().__init__(_BoundedChannelSpawn(channel), name)

    def _write(self, data: bytes) -> None:
        self._channel.settimeout(None)
        self._channel.sendall(data)

    def close(self) -> None:
        """Close the channel; the host hangs up the terminal."""
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()


class _Login(AuthOnlyHandler):
    """A login whose answer is never missed."""

    def wait_for_response(self, event: threading.Event) -> list[str]:
        # paramiko makes the event after it has sent the request: the answer may have come by then.
        if self.authenticated or self.username is None:
            event.set()
        return super().wait_for_response(event)


class _QuickTransport(ServiceRequestingTransport):
    """A transport that asks for the login service and logs in at once.

    Waiting to be told that there is such a service would take a round trip. Where there is none,
    the server ends the connection. RFC 4253, 10.
    """

    _asked = False

    def ensure_session(self) -> None:
        if self._asked:
            return
        ask = paramiko.Message()
        ask.add_byte(cMSG_SERVICE_REQUEST)
        ask.add_string("ssh-userauth")
        self.packetizer.send_message(ask)
        self.auth_handler = _Login(self)
        self._asked = True


def _quick_transport(known: Sequence[str], sock: Any, **options: Any) -> paramiko.Transport:
    """Return a transport whose small messages do not wait for larger ones. tcp(7), TCP_NODELAY.

    known: kinds of host keys to ask for first.
    """
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = _QuickTransport(sock, **options)
    # Encrypting and authenticating in one go takes half the time of paramiko's first choice.
    security = transport.get_security_options()
    security.ciphers = sorted(security.ciphers, key=lambda name: "-gcm@" not in name)
    # The signatures that an RSA key is asked for have names of their own.
    wanted = {"rsa-sha2-512", "rsa-sha2-256", *known} if "ssh-rsa" in known else known
    security.key_types = sorted(security.key_types, key=lambda name: name not in wanted)
    return transport


def _acknowledge_at_once(sock: Any) -> None:
    """Acknowledge what comes next at once. tcp(7), TCP_QUICKACK, which Linux alone has.

    After a login sshd sends its host keys, and then holds back the answer to our first question
    until these are acknowledged: 40 ms.
    """
    if isinstance(sock, socket.socket) and hasattr(socket, "TCP_QUICKACK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _hops(connection: fabric.Connection) -> list[fabric.Connection]:
    """Return the gateways and the connection, in order; a ProxyCommand is a text, not a hop."""
    hops: list[fabric.Connection] = []
    hop: Any = connection
    while hop is not None and not isinstance(hop, str):
        hops.insert(0, hop)
        hop = hop.gateway
    return hops


def _unreachable(name: str, error: Exception, gateway: object = None) -> HostError:
    """Return the error in our words; gateway: as fabric has it, a ProxyCommand being a text."""
    text = harmless(str(error)) or type(error).__name__
    hint = "is the host up, and is `ssh` able to reach it?"
    if isinstance(error, paramiko.AuthenticationException):
        text = f"the host refuses our login: {text}"
        hint = "name a key in the inventory or in ~/.ssh/config, or add one to ssh-agent"
    elif isinstance(error, socket.gaierror):
        text = "the host's name is unknown"
        hint = "give its address in the inventory or in ~/.ssh/config"
    elif isinstance(error, FileNotFoundError) and error.filename in str(gateway).split()[:1]:
        text = f"there is no program {harmless(str(error.filename))}"
        hint = "ProxyCommand in ~/.ssh/config names it: install it, or mend that line"
    elif isinstance(error, FileNotFoundError):
        text = f"there is no key file {harmless(str(error.filename))}"
        hint = "name an existing one in the inventory or in ~/.ssh/config"
    elif isinstance(error, (TimeoutError, OSError, EOFError)):
        text = f"the host cannot be reached: {getattr(error, 'strerror', None) or text}"
    return HostError(text, where=name, hint=hint)
