# SPDX-License-Identifier: BSD-3-Clause
"""Everything a front-end may say to a device, one class a message: when it is legal, what the model makes of it,
and the bytes. A history is a list of Steps; a step that is not legal when its turn comes is left out, so any
part of a history is one."""

import random
from typing import NamedTuple

from driver import ALL_PROTOCOL, AVAIL_AT, BASIC_FEATURES, RING_SPACE, USED_AT
from frontend import NOFD, Feature, Protocol, Request, addr, bits, log_base, mem_table, name_of, state, u64
from life_model import PACKED_FRESH, Model

NR_RINGS = 4
PROTOCOL = ALL_PROTOCOL | bits(Protocol.LOG_SHMFD)
FEATURE_SETS = [BASIC_FEATURES, BASIC_FEATURES | bits(Feature.EVENT_IDX, Feature.INDIRECT_DESC),
                bits(Feature.VERSION_1, Feature.PROTOCOL_FEATURES)]
SIZES, SIZES_PACKED = (1, 2, 8, 64, 256, 1024), (1, 3, 8, 100, 256, 1000)
STATUSES = (0, 1, 3, 0x0B, 0x0F, 0x0F, 0x0F)
LOG_SIZE = 4096
F_LOG = 1


class Step(NamedTuple):
    """One thing said or done."""

    verb: type["Verb"]
    args: tuple
    ack: bool  # ask for an acknowledgement, where that was agreed on
    is_checked: bool  # look at all the back-end has before going on

    def __str__(self) -> str:
        return self.verb.text(*self.args)


class Verb:
    """A message. `request` and `bytes_of` say what is sent; `asks`: it has a reply of its own."""

    request: int = 0
    asks = False
    gate: int | None = None  # protocol feature it needs
    weight = 2
    ack_share = 0.5  # how often an acknowledgement is asked for

    @classmethod
    def text(cls, *args) -> str:
        return " ".join([name_of(cls.request), *(str(arg) for arg in args)])

    @classmethod
    def draw(cls, draw: random.Random, ring: int, model: Model) -> tuple:
        """Arguments."""
        return ()

    @classmethod
    def is_legal(cls, model: Model, *args) -> bool:
        return model.connected and (cls.gate is None or model.agreed(cls.gate))

    @classmethod
    def note(cls, model: Model, *args):
        """Tell the model; what the reply must be, where it has one."""

    @classmethod
    def payload(cls, world, *args) -> tuple[bytes, list[int]]:
        """Bytes and descriptors; `world` has files, descriptors and the model."""
        return b"", []

    @classmethod
    def is_answer(cls, world, expected, reply: bytes) -> bool:
        return expected is None or reply == u64(expected)


class OfRing(Verb):
    """First argument: the ring."""

    @classmethod
    def text(cls, *args) -> str:
        return " ".join([name_of(cls.request), f"ring {args[0]}", *(str(arg) for arg in args[1:])])

    @classmethod
    def draw(cls, draw, ring, model):
        return (ring,)


# -- connections -----------------------------------------------------------------------------------


class Connect(Verb):
    """With the protocol features it is going to agree on; None: it knows none of them."""

    @classmethod
    def text(cls, *args) -> str:
        return "connect, without protocol features" if args[0] is None else f"connect, protocol features {args[0]:#x}"

    @classmethod
    def draw(cls, draw, ring, model):
        without = [bits(bit) for bit in (Protocol.STATUS, Protocol.REPLY_ACK, Protocol.RESET_DEVICE)]
        return (draw.choice([None, 0, PROTOCOL, PROTOCOL, PROTOCOL & ~draw.choice(without)]),)

    @classmethod
    def is_legal(cls, model, *args):
        return not model.connected

    @classmethod
    def note(cls, model, *args):
        model.connect(args[0] is not None)
        model.protocol = args[0] or 0


class Disconnect(Verb):
    weight = 1

    @classmethod
    def text(cls, *args) -> str:
        return "disconnect"

    @classmethod
    def note(cls, model, *args):
        model.disconnect()


# -- the device ------------------------------------------------------------------------------------


class SetFeatures(Verb):
    request = Request.SET_FEATURES

    @classmethod
    def text(cls, *args) -> str:
        word, packed, log = args
        return f"SET_FEATURES {word:#x}" + " RING_PACKED" * packed + " LOG_ALL" * log

    @classmethod
    def draw(cls, draw, ring, model):
        return draw.choice(FEATURE_SETS), draw.random() < 0.5, draw.random() < 0.4

    @staticmethod
    def word(model, word, packed, log) -> int:
        """Of a device that runs only LOG_ALL changes."""
        if model.driver_ready() and model.any_started():
            word = model.features & ~bits(Feature.LOG_ALL)
        elif packed:
            word |= bits(Feature.RING_PACKED)
        if log and model.agreed(Protocol.LOG_SHMFD):
            word |= bits(Feature.LOG_ALL)
        return word if model.has_protocol else word & ~bits(Feature.PROTOCOL_FEATURES)

    @classmethod
    def note(cls, model, *args):
        model.set_features(cls.word(model, *args))

    @classmethod
    def payload(cls, world, *args):
        return u64(cls.word(world.model, *args)), []


class GetFeatures(Verb):
    request = Request.GET_FEATURES
    asks = True
    weight = 1


class SetOwner(Verb):
    request = Request.SET_OWNER
    weight = 1


class ResetOwner(Verb):
    request = Request.RESET_OWNER
    weight = 1

    @classmethod
    def note(cls, model, *args):
        for told in model.rings:
            told.enabled = False


class ResetDevice(Verb):
    request = Request.RESET_DEVICE
    gate = Protocol.RESET_DEVICE

    @classmethod
    def note(cls, model, *args):
        model.reset()


class SetStatus(Verb):
    request = Request.SET_STATUS
    gate = Protocol.STATUS

    @classmethod
    def draw(cls, draw, ring, model):
        return (draw.choice(STATUSES),)

    @classmethod
    def note(cls, model, *args):
        model.status = args[0]

    @classmethod
    def payload(cls, world, *args):
        return u64(args[0]), []


class GetStatus(Verb):
    request = Request.GET_STATUS
    gate = Protocol.STATUS
    asks = True
    weight = 1

    @classmethod
    def note(cls, model, *args):
        return model.status


class GetQueueNum(Verb):
    request = Request.GET_QUEUE_NUM
    gate = Protocol.MQ
    asks = True
    weight = 1


# -- memory ----------------------------------------------------------------------------------------


class SetMemTable(Verb):
    """All of the memory as one region, or as two; with another piece besides."""

    request = Request.SET_MEM_TABLE
    weight = 3

    @classmethod
    def draw(cls, draw, ring, model):
        return draw.choice([("all",), ("all", "dimm"), ("rings", "buffers"), ("buffers", "rings", "dimm")])

    @classmethod
    def note(cls, model, *args):
        model.regions = frozenset(args)

    @classmethod
    def payload(cls, world, *args):
        return mem_table(*(world.region(name) for name in args)), [world.file_of(name) for name in args]


class AddMemReg(Verb):
    request = Request.ADD_MEM_REG
    gate = Protocol.CONFIGURE_MEM_SLOTS

    @classmethod
    def draw(cls, draw, ring, model):
        return (draw.choice(["all", "rings", "buffers", "dimm", "dimm"]),)

    @classmethod
    def is_legal(cls, model, *args):
        others = {"all": {"rings", "buffers"}, "rings": {"all"}, "buffers": {"all"}, "dimm": set()}[args[0]]
        return super().is_legal(model) and not (model.regions or frozenset()) & others

    @classmethod
    def note(cls, model, *args):
        model.regions = (model.regions or frozenset()) | {args[0]}

    @classmethod
    def payload(cls, world, *args):
        return u64(0) + world.region(args[0]), [world.file_of(args[0])]


class RemMemReg(AddMemReg):
    request = Request.REM_MEM_REG

    @classmethod
    def is_legal(cls, model, *args):
        return model.agreed(cls.gate)

    @classmethod
    def note(cls, model, *args):
        if model.regions is not None:
            model.regions -= {args[0]}

    @classmethod
    def payload(cls, world, *args):
        return u64(0) + world.region(args[0]), []


class SetLogBase(Verb):
    request = Request.SET_LOG_BASE
    gate = Protocol.LOG_SHMFD
    asks = True

    @classmethod
    def note(cls, model, *args):
        model.has_log = True

    @classmethod
    def payload(cls, world, *args):
        return log_base(LOG_SIZE), [world.log_fd]


# -- one ring --------------------------------------------------------------------------------------


class SetVringNum(OfRing):
    request = Request.SET_VRING_NUM

    @classmethod
    def draw(cls, draw, ring, model):
        return ring, draw.choice(SIZES_PACKED if model.is_packed() else SIZES)

    @classmethod
    def is_legal(cls, model, *args):
        ring, num = args
        is_split = model.features is not None and not model.is_packed()
        return super().is_legal(model) and not model.is_at_work(ring) and not (is_split and num & (num - 1))

    @classmethod
    def note(cls, model, *args):
        model.rings[args[0]].num = args[1]

    @classmethod
    def payload(cls, world, *args):
        return state(*args), []


class SetVringBase(OfRing):
    """A ring that begins, one that goes on where the driver knows it stopped, or any number."""

    request = Request.SET_VRING_BASE

    @classmethod
    def draw(cls, draw, ring, model):
        return ring, draw.choice(["fresh", "kept", "kept", "any"]), draw.randrange(1 << 16)

    @staticmethod
    def number(model, ring, how, any_) -> int:
        guest = model.guest[ring]
        if how == "any":
            return any_
        if how == "kept" and guest.size and guest.packed == model.is_packed():
            return guest.at | guest.at << 16 if guest.packed else guest.at
        fresh = (0x80008000, PACKED_FRESH, 0)
        return fresh[any_ % len(fresh)] if model.is_packed() else 0

    @classmethod
    def is_legal(cls, model, *args):
        return super().is_legal(model) and not model.is_at_work(args[0])

    @classmethod
    def note(cls, model, *args):
        model.rings[args[0]].base = cls.number(model, *args)

    @classmethod
    def payload(cls, world, *args):
        return state(args[0], cls.number(world.model, *args)), []


class SetVringAddr(OfRing):
    """Second argument: which of the two places the guest has for this ring; third: is it logged?"""

    request = Request.SET_VRING_ADDR

    @classmethod
    def draw(cls, draw, ring, model):
        return ring, ring + NR_RINGS * (draw.random() < 0.3), draw.random() < 0.3

    @classmethod
    def is_legal(cls, model, *args):
        told = model.rings[args[0]]
        return super().is_legal(model) and (not told.running or told.place == args[1])

    @classmethod
    def note(cls, model, *args):
        told = model.rings[args[0]]
        told.place, told.is_logged = args[1], args[2]

    @classmethod
    def payload(cls, world, *args):
        ring, place, logged = args
        at = world.memory.user + place * RING_SPACE
        used = world.memory.guest + place * RING_SPACE + USED_AT
        return addr(ring, at, at + USED_AT, at + AVAIL_AT, F_LOG * logged, used * logged), []


class GetVringBase(OfRing):
    request = Request.GET_VRING_BASE
    asks = True

    @classmethod
    def note(cls, model, *args):
        return model.get_base(args[0])

    @classmethod
    def payload(cls, world, *args):
        return state(args[0], 0xDEADBEEF), []

    @classmethod
    def is_answer(cls, world, expected, reply):
        return len(reply) == 8 and int.from_bytes(reply[4:], "little") == expected


class OfDescriptor(OfRing):
    """Second argument: does a descriptor come along?"""

    @classmethod
    def draw(cls, draw, ring, model):
        return ring, draw.random() < 0.8

    @classmethod
    def text(cls, *args) -> str:
        return super().text(args[0]) + (", an eventfd" if args[1] else ", no descriptor")

    @classmethod
    def payload(cls, world, *args):
        return (u64(args[0]), [world.eventfd(cls, args[0])]) if args[1] else (u64(args[0] | NOFD), [])


class SetVringKick(OfDescriptor):
    request = Request.SET_VRING_KICK

    @classmethod
    def note(cls, model, *args):
        model.rings[args[0]].started = True


class SetVringCall(OfDescriptor):
    request = Request.SET_VRING_CALL

    @classmethod
    def note(cls, model, *args):
        model.rings[args[0]].has_call = args[1]


class SetVringErr(OfDescriptor):
    request = Request.SET_VRING_ERR
    weight = 1


class SetVringEnable(OfRing):
    request = Request.SET_VRING_ENABLE
    weight = 3

    @classmethod
    def draw(cls, draw, ring, model):
        return ring, int(draw.random() < 0.6)

    @classmethod
    def is_legal(cls, model, *args):
        return super().is_legal(model) and model.has_protocol

    @classmethod
    def note(cls, model, *args):
        model.rings[args[0]].enabled = bool(args[1])

    @classmethod
    def payload(cls, world, *args):
        return state(*args), []


# -- the guest and the application -----------------------------------------------------------------


class Packets(OfRing):
    """The driver posts some buffers, then the application moves some packets: model and memory tell how many."""

    weight = 6

    @classmethod
    def text(cls, *args) -> str:
        return f"ring {args[0]}: the driver posts {args[1]}, we {'pull' if args[0] % 2 else 'push'} {args[2]}"

    @classmethod
    def draw(cls, draw, ring, model):
        return ring, draw.choice([0, 1, 3, 20]), draw.choice([1, 2, 7, 40])

    @classmethod
    def is_legal(cls, model, *args):
        return model.has_buffers_memory() or not model.rings[args[0]].running


class Renew(OfRing):
    """The driver empties a ring that nobody works on."""

    weight = 1

    @classmethod
    def text(cls, *args) -> str:
        return f"ring {args[0]}: the driver empties it"

    @classmethod
    def is_legal(cls, model, *args):
        return not model.rings[args[0]].running and model.guest[args[0]].size > 0


VERBS = [Connect, Disconnect, SetFeatures, GetFeatures, SetOwner, ResetOwner, ResetDevice, SetStatus, GetStatus,
         GetQueueNum, SetMemTable, AddMemReg, RemMemReg, SetLogBase, SetVringNum, SetVringBase, SetVringAddr,
         GetVringBase, SetVringKick, SetVringCall, SetVringErr, SetVringEnable, Packets, Renew]
WEIGHTS = [verb.weight for verb in VERBS]


# -- histories -------------------------------------------------------------------------------------


def missing(model: Model, ring: int) -> tuple[type[Verb], tuple | None]:
    """What a front-end would say next that wants this ring to run."""
    told = model.rings[ring]
    steps = [(model.connected, Connect, None), (model.features is not None, SetFeatures, None),
             (model.regions is not None, SetMemTable, None), (told.num, SetVringNum, None),
             (not model.obstacle(ring), SetVringBase, (ring, "fresh", 0)),
             (told.place is not None, SetVringAddr, None),
             (told.started, SetVringKick, (ring, True)), (told.has_call, SetVringCall, (ring, True)),
             (told.enabled, SetVringEnable, (ring, 1)), (model.driver_ready(), SetStatus, (0x0F,))]
    return next(((verb, args) for is_there, verb, args in steps if not is_there), (Packets, None))


def draw_step(draw: random.Random, model: Model, verbs, weights) -> Step:
    ring = draw.choice([0, 0, 1, 1, 2, 3])
    args = None
    if draw.random() < 0.55:
        verb, args = missing(model, ring)
    else:
        verb = draw.choices(verbs, weights)[0]
    if args is None:
        args = verb.draw(draw, ring, model)
    return Step(verb, args, draw.random() < verb.ack_share, draw.random() < 0.7)
