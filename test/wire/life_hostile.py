# SPDX-License-Identifier: BSD-3-Clause
"""What no front-end may say. Each must be refused, or end the connection, and change nothing besides."""

from driver import GUEST_BASE
from frontend import NOFD, Feature, Protocol, Request, Status, addr, bits, log_base, mem_table, message, name_of
from frontend import region, state, u64
from life_verbs import NR_RINGS, AddMemReg, OfRing, SetVringAddr, SetVringNum, Verb

ALIEN_RINGS = (NR_RINGS, 200, 255, 1 << 31)
STATE_REQUESTS = (Request.SET_VRING_NUM, Request.SET_VRING_BASE, Request.SET_VRING_ENABLE, Request.GET_VRING_BASE)
FD_REQUESTS = (Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR)


class Bad(Verb):
    """`is_fatal`: it ends the connection even of who asked for an acknowledgement."""

    is_fatal = False
    ack_share = 0.9

    @classmethod
    def text(cls, *args) -> str:
        return "BAD " + super().text(*args)

    @classmethod
    def request_of(cls, *args) -> int:
        return cls.request


class BadAsk(Bad):
    is_fatal = True


class AlienRing(Bad):
    @classmethod
    def text(cls, *args) -> str:
        return f"BAD {name_of(args[0])} of ring {args[1]}"

    @classmethod
    def draw(cls, draw, ring, model):
        return draw.choice(STATE_REQUESTS[:3]), draw.choice(ALIEN_RINGS)

    @classmethod
    def request_of(cls, *args):
        return args[0]

    @classmethod
    def payload(cls, world, *args):
        return state(args[1], 1), []


class AlienRingAsked(AlienRing, BadAsk):
    @classmethod
    def draw(cls, draw, ring, model):
        return Request.GET_VRING_BASE, draw.choice(ALIEN_RINGS)


class AlienRingOfDescriptor(AlienRing):
    @classmethod
    def draw(cls, draw, ring, model):
        return draw.choice(FD_REQUESTS), draw.choice(ALIEN_RINGS[:3])

    @classmethod
    def payload(cls, world, *args):
        return u64(args[1]), [world.eventfd(cls, args[1])]


class WrongDescriptors(AlienRingOfDescriptor):
    """None where one was announced, one where none was, two, or one that is no eventfd."""

    @classmethod
    def text(cls, *args) -> str:
        return f"BAD {name_of(args[0])} ring {args[1]}, {args[2]}"

    @classmethod
    def draw(cls, draw, ring, model):
        request = draw.choice(FD_REQUESTS)
        kinds = ["none", "unannounced", "two"] + ["a file"] * (request != Request.SET_VRING_CALL)
        return request, ring, draw.choice(kinds)

    @classmethod
    def payload(cls, world, *args):
        _, ring, kind = args
        fds = [] if kind == "none" else [world.memory.fd if kind == "a file" else world.eventfd(cls, ring)]
        return u64(ring | NOFD * (kind == "unannounced")), fds * (2 if kind == "two" else 1)


class Sized(Bad):
    """Payloads of another size than the request's."""

    @classmethod
    def text(cls, *args) -> str:
        return f"BAD {name_of(args[0])} of {args[1]} bytes"

    @classmethod
    def draw(cls, draw, ring, model):
        return draw.choice([Request.SET_FEATURES, Request.SET_VRING_NUM, Request.SET_VRING_ADDR, Request.SET_MEM_TABLE,
                            Request.SET_OWNER, Request.SET_VRING_KICK]), draw.choice([1, 4, 7, 12, 100])

    @classmethod
    def request_of(cls, *args):
        return args[0]

    @classmethod
    def payload(cls, world, *args):
        return b"\xff" * args[1], []


class Unknown(Sized):
    @classmethod
    def text(cls, *args) -> str:
        return f"BAD request {args[0]}"

    @classmethod
    def draw(cls, draw, ring, model):
        return draw.choice([0, 44, 99, 1 << 31]), draw.choice([0, 8])


class NotAgreed(Sized):
    """What needs a protocol feature that this front-end did not agree on."""

    @classmethod
    def draw(cls, draw, ring, model):
        return draw.choice([(Request.RESET_DEVICE, 0), (Request.SET_STATUS, 8), (Request.NET_SET_MTU, 8),
                            (Request.SEND_RARP, 8)])

    @classmethod
    def is_legal(cls, model, *args):
        gates = {Request.RESET_DEVICE: Protocol.RESET_DEVICE, Request.SET_STATUS: Protocol.STATUS,
                 Request.NET_SET_MTU: Protocol.MTU, Request.SEND_RARP: Protocol.RARP}
        return super().is_legal(model) and not model.agreed(gates[args[0]])


class BadNum(SetVringNum, Bad):
    @classmethod
    def draw(cls, draw, ring, model):
        return ring, draw.choice([0, 32769, 1 << 31, 65536 + 256, 48])

    @classmethod
    def is_legal(cls, model, *args):
        may_be = model.features is None or model.is_packed()
        return Bad.is_legal.__func__(cls, model) and not (args[1] == 48 and may_be)

    @classmethod
    def note(cls, model, *args):
        pass


class AtWork(Bad):
    """Size or index of a ring that runs."""

    @classmethod
    def text(cls, *args) -> str:
        return f"BAD {name_of(args[0])} of ring {args[1]}, which is at work"

    @classmethod
    def draw(cls, draw, ring, model):
        return draw.choice([Request.SET_VRING_NUM, Request.SET_VRING_BASE]), ring

    @classmethod
    def request_of(cls, *args):
        return args[0]

    @classmethod
    def is_legal(cls, model, *args):
        return super().is_legal(model) and model.is_at_work(args[1])

    @classmethod
    def payload(cls, world, *args):
        return state(args[1], 64), []


class BadAddr(OfRing, Bad):
    """Flags that nobody knows; another place for a ring that runs."""

    request = Request.SET_VRING_ADDR

    @classmethod
    def draw(cls, draw, ring, model):
        return ring, draw.choice(["flags", "moved"])

    @classmethod
    def is_legal(cls, model, *args):
        return super().is_legal(model) and (args[1] == "flags" or model.rings[args[0]].running)

    @classmethod
    def payload(cls, world, *args):
        ring, what = args
        if what == "flags":
            return addr(ring, GUEST_BASE, GUEST_BASE, GUEST_BASE, flags=6), []
        place = world.model.rings[ring].place
        return SetVringAddr.payload(world, ring, (place + NR_RINGS) % (2 * NR_RINGS), False)


class BadEnable(OfRing, Bad):
    request = Request.SET_VRING_ENABLE

    @classmethod
    def payload(cls, world, *args):
        return state(args[0], 2), []


class AlienFeatures(Bad):
    request = Request.SET_FEATURES

    @classmethod
    def draw(cls, draw, ring, model):
        return (draw.choice([40, 57, 63]),)

    @classmethod
    def note(cls, model, *args):
        model.status &= ~Status.FEATURES_OK

    @classmethod
    def payload(cls, world, *args):
        return u64(bits(Feature.VERSION_1, args[0])), []


class FeaturesAtWork(Bad):
    """Another layout of rings, while they are used."""

    request = Request.SET_FEATURES

    @classmethod
    def is_legal(cls, model, *args):
        return super().is_legal(model) and model.driver_ready() and model.any_started()

    @classmethod
    def payload(cls, world, *args):
        return u64(world.model.features ^ bits(Feature.RING_PACKED)), []


class AlienProtocol(Bad):
    request = Request.SET_PROTOCOL_FEATURES

    @classmethod
    def payload(cls, world, *args):
        return u64(bits(Protocol.INBAND_NOTIFICATIONS)), []


class BadStatus(Bad):
    request = Request.SET_STATUS
    gate = Protocol.STATUS

    @classmethod
    def payload(cls, world, *args):
        return u64(0x100), []


class BadTable(Bad):
    """Regions that overlap, one that its file has no room for, more or fewer than there are descriptors."""

    request = Request.SET_MEM_TABLE

    @classmethod
    def draw(cls, draw, ring, model):
        return (draw.choice(["overlap", "no room", "no descriptor", "empty region", "wraps"]),)

    @classmethod
    def payload(cls, world, *args):
        memory, what = world.memory, args[0]
        if what == "overlap":
            return mem_table(world.region("all"), world.region("rings")), [memory.fd] * 2
        if what == "no descriptor":
            return mem_table(world.region("all")), []
        at, size = (GUEST_BASE, 0) if what == "empty region" else (GUEST_BASE, memory.size + 4096)
        if what == "wraps":
            at, size = (1 << 64) - 4096, 8192
        return mem_table(region(at, size, GUEST_BASE)), [memory.fd]


class Overlap(AddMemReg, Bad):
    @classmethod
    def is_legal(cls, model, *args):
        return model.agreed(cls.gate) and args[0] not in (model.regions or ()) \
            and not AddMemReg.is_legal.__func__(AddMemReg, model, *args)

    @classmethod
    def note(cls, model, *args):
        pass


class BadLog(BadAsk):
    request = Request.SET_LOG_BASE
    gate = Protocol.LOG_SHMFD

    @classmethod
    def draw(cls, draw, ring, model):
        return (draw.choice([0, 1 << 40, (1 << 64) - 1]),)

    @classmethod
    def payload(cls, world, *args):
        return log_base(args[0]), [world.log_fd]


class BadBytes(Bad):
    """No message at all."""

    is_fatal = True

    @classmethod
    def raw(cls, *args) -> bytes:
        raise NotImplementedError


class BadHeader(BadBytes):
    """A version that is not 1, or more bytes than any message has: nothing that follows can be understood."""

    @classmethod
    def text(cls, *args) -> str:
        return f"BAD header, {args[0]}"

    @classmethod
    def draw(cls, draw, ring, model):
        return (draw.choice(["version", "size"]),)

    @classmethod
    def raw(cls, *args) -> bytes:
        if args[0] == "version":
            return message(Request.GET_FEATURES, flags=2)
        return message(Request.SET_OWNER, size=1 << 20)


class Vanish(BadBytes):
    """Half a message, and then the end."""

    @classmethod
    def text(cls, *args) -> str:
        return f"BAD: {args[0]} bytes of SET_VRING_NUM, and then nothing"

    @classmethod
    def draw(cls, draw, ring, model):
        return (draw.randrange(1, 19),)

    @classmethod
    def raw(cls, *args) -> bytes:
        return message(Request.SET_VRING_NUM, state(0, 64))[:args[0]]


BAD_VERBS = [AlienRing, AlienRingAsked, AlienRingOfDescriptor, WrongDescriptors, Sized, Unknown, NotAgreed, BadNum,
             AtWork, BadAddr, BadEnable, AlienFeatures, FeaturesAtWork, AlienProtocol, BadStatus, BadTable, Overlap,
             BadLog, BadHeader, Vanish]


def is_the_end(model, step) -> bool:
    """Of the connection. Who asked to be told is told, if the message was one."""
    return step.verb.is_fatal or not (step.ack and model.agreed(Protocol.REPLY_ACK))


def say(world, step) -> bool:
    """Say it, and see that it is refused; whether the connection is over."""
    verb, front, is_over = step.verb, world.front, is_the_end(world.model, step)
    if issubclass(verb, BadBytes):
        front.send_bytes(verb.raw(*step.args))
    else:
        payload, fds = verb.payload(world, *step.args)
        verb.note(world.model, *step.args)
        front.send(verb.request_of(*step.args), payload, fds, need_reply=step.ack and not is_over)
    if is_over:
        _end(front, verb)
    else:
        reply = front.read_reply(verb.request_of(*step.args))
        assert reply == u64(1), f"it was taken for good: {reply.hex()}"
    return is_over


def _end(front, verb) -> None:
    if verb is not Vanish:
        front.wait_dropped()
