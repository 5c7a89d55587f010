# SPDX-License-Identifier: BSD-3-Clause
"""Whole conversations: those of the front-ends we know, and random legal ones against a model."""

import random

import pytest

from backend import MAIN
from driver import ALL_PROTOCOL, BASIC_FEATURES, NO_STATUS, Driver, Memory
from driver import proves_delivery
from frontend import NOFD, Feature, Listener, Protocol, Request, Status, bits, mem_reg, mem_table
from frontend import region, state, u64

QEMU_PROTOCOL = ALL_PROTOCOL
VIRTIO_USER_PROTOCOL = bits(Protocol.MQ, Protocol.REPLY_ACK, Protocol.STATUS)
CLOUD_HYPERVISOR_PROTOCOL = bits(Protocol.MQ, Protocol.REPLY_ACK, Protocol.CONFIGURE_MEM_SLOTS)
FEATURES = BASIC_FEATURES | bits(Feature.MQ, Feature.EVENT_IDX, Feature.INDIRECT_DESC)


def rings_of(driver: Driver, pair: int):
    return driver.rings[2 * pair:2 * pair + 2]


def pairs_of(driver: Driver) -> range:
    return range(len(driver.rings) // 2)


def fresh_rings(driver: Driver) -> None:
    """The guest's driver begins anew: empty rings."""
    for ring in driver.rings:
        ring.clear()


def all_deliver(back, driver: Driver, port: int = MAIN) -> None:
    assert back.port(port)["stage"] == "running"
    for pair in pairs_of(driver):
        proves_delivery(back, driver, port, 2 * pair)


# -- QEMU ------------------------------------------------------------------------------------------


def qemu_connect(driver: Driver) -> None:
    front = driver.front
    for pair in pairs_of(driver):
        front.ask(Request.GET_FEATURES)
        front.send(Request.SET_PROTOCOL_FEATURES,
                   u64(front.ask_u64(Request.GET_PROTOCOL_FEATURES) & QEMU_PROTOCOL))
        if pair == 0:
            assert front.ask_u64(Request.GET_QUEUE_NUM) >= len(pairs_of(driver))
        front.ask(Request.GET_MAX_MEM_SLOTS)
        if pair == 0:
            front.do(Request.SET_BACKEND_REQ_FD, b"", [front.channel()])
            front.send(Request.SET_OWNER)
        front.ask(Request.GET_FEATURES)
        for ring in rings_of(driver, pair):
            front.send(Request.SET_VRING_CALL, u64(ring.index), [front.eventfd()])
            front.send(Request.SET_VRING_ERR, u64(ring.index), [front.eventfd()])


def qemu_enable(driver: Driver, nr_active: int) -> None:
    for ring in driver.rings:
        is_active = ring.index < 2 * nr_active
        driver.front.send(Request.SET_VRING_ENABLE, state(ring.index, int(is_active)))


def qemu_set_up_ring(driver: Driver, ring, base: int) -> None:
    front = driver.front
    ring.kick, ring.call = front.eventfd(), front.eventfd()
    front.send(Request.SET_VRING_NUM, state(ring.index, ring.size))
    front.send(Request.SET_VRING_BASE, state(ring.index, base))
    front.send(Request.SET_VRING_ADDR, ring.addr())
    front.send(Request.SET_VRING_KICK, u64(ring.index), [ring.kick])
    front.send(Request.SET_VRING_CALL, u64(ring.index), [ring.call])


def qemu_add_status(driver: Driver, more: int) -> None:
    front = driver.front
    front.do(Request.SET_STATUS, u64(front.ask_u64(Request.GET_STATUS) | more))


def qemu_start(driver: Driver, bases: list[int], every_pair_adds: bool) -> None:
    """`every_pair_adds`: 7.2 keeps a list of regions for each pair, newer ones keep one."""
    front, last = driver.front, pairs_of(driver)[-1]
    qemu_enable(driver, len(pairs_of(driver)))
    front.do(Request.NET_SET_MTU, u64(1500))
    for pair in pairs_of(driver):
        front.do(Request.SET_FEATURES, u64(FEATURES))
        qemu_add_status(driver, Status.FEATURES_OK)
        if pair == 0 or every_pair_adds:
            front.do(Request.ADD_MEM_REG, driver.memory.reg(0, 1 << 20), [driver.memory.fd])
            front.do(Request.ADD_MEM_REG, driver.memory.reg(1 << 20), [driver.memory.fd])
        for ring in rings_of(driver, pair):
            qemu_set_up_ring(driver, ring, bases[ring.index])
        if pair == last:
            qemu_add_status(driver, Status.ACKNOWLEDGE | Status.DRIVER | Status.DRIVER_OK)


def qemu_stop(driver: Driver, status_first: bool) -> list[int]:
    """`status_first`: 7.2 says 0 before the last pair stops, newer ones after."""
    front, last, bases = driver.front, pairs_of(driver)[-1], []
    for pair in pairs_of(driver):
        if pair == last and status_first:
            front.do(Request.SET_STATUS, u64(0))
        bases += [front.ask_base(ring.index) for ring in rings_of(driver, pair)]
    if not status_first:
        front.do(Request.SET_STATUS, u64(0))
    return bases


qemu_ages = pytest.mark.parametrize("is_old", [True, False], ids=["7.2", "newer"])


@qemu_ages
@pytest.mark.parametrize("nr_rings", [2, 4])
def test_qemu_starts_pauses_and_goes_on(make_driver, back, nr_rings, is_old):
    driver = make_driver(nr_rings=nr_rings)
    qemu_connect(driver)
    qemu_start(driver, [0] * nr_rings, is_old)
    all_deliver(back, driver)
    for round_ in range(1, 4):
        bases = qemu_stop(driver, is_old)
        assert bases == [round_, 0] * (nr_rings // 2)
        assert back.port()["stage"] != "running"
        qemu_start(driver, bases, is_old)
        all_deliver(back, driver)
    assert back.port()["nr_regions"] == 2


@qemu_ages
def test_qemu_guest_reboots(make_driver, back, is_old):
    """Firmware and kernel each drive the device: several starts on one connection."""
    driver = make_driver(nr_rings=4)
    qemu_connect(driver)
    for _ in range(3):
        fresh_rings(driver)
        qemu_start(driver, [0] * 4, is_old)
        all_deliver(back, driver)
        qemu_stop(driver, is_old)
        qemu_enable(driver, 1)
        if not is_old:
            driver.front.do(Request.RESET_DEVICE)
        assert not back.ring(0)["running"]
        assert back.push(0) == 0


def test_qemu_guest_with_one_of_two_pairs(make_driver, back):
    """Firmware knows one queue pair; the other is never set up."""
    driver = make_driver(nr_rings=2)
    qemu_connect(driver)
    qemu_enable(driver, 1)
    driver.front.send(Request.SET_VRING_ENABLE, state(2, 0))
    driver.front.send(Request.SET_VRING_ENABLE, state(3, 0))
    qemu_start(driver, [0, 0], False)
    all_deliver(back, driver)
    assert not back.ring(2)["started"]


def test_qemu_guest_changes_its_channels(make_driver, back):
    """ethtool -L: nothing but ENABLE, the rings stay started."""
    driver = make_driver(nr_rings=4)
    qemu_connect(driver)
    qemu_start(driver, [0] * 4, True)
    qemu_enable(driver, 1)
    driver.front.sync()
    assert back.ring(0)["running"] and not back.ring(2)["running"] and back.ring(2)["started"]
    qemu_enable(driver, 2)
    driver.front.sync()
    all_deliver(back, driver)


def test_qemu_memory_hotplug_while_running(make_driver, back):
    """All removals come first, then the additions."""
    driver = make_driver()
    qemu_connect(driver)
    qemu_start(driver, [0, 0], False)
    all_deliver(back, driver)
    front, memory = driver.front, driver.memory
    front.do(Request.REM_MEM_REG, memory.reg(0, 1 << 20))
    front.do(Request.REM_MEM_REG, memory.reg(1 << 20))
    front.do(Request.ADD_MEM_REG, memory.reg(), [memory.fd])
    all_deliver(back, driver)


@qemu_ages
def test_qemu_keeps_its_guest_while_we_are_away(make_driver, back, is_old):
    """The connection is lost and made again: rings go on at their used index."""
    driver = make_driver()
    qemu_connect(driver)
    qemu_start(driver, [0, 0], is_old)
    all_deliver(back, driver)
    driver.front.close()
    back.wait_stage("listening")
    again = make_driver(memory=driver.memory)
    for old, new in zip(driver.rings, again.rings):
        new.avail_idx = old.avail_idx
    qemu_connect(again)
    qemu_start(again, [ring.used_idx() for ring in again.rings], is_old)
    all_deliver(back, again)
    assert again.rings[0].used_idx() == 2


# -- virtio-user -----------------------------------------------------------------------------------


def virtio_user_negotiate(driver: Driver, is_first: bool = True) -> None:
    front = driver.front
    if is_first:
        front.send(Request.SET_OWNER)
    front.ask(Request.GET_FEATURES)
    front.ask(Request.GET_PROTOCOL_FEATURES)
    front.send(Request.SET_PROTOCOL_FEATURES, u64(VIRTIO_USER_PROTOCOL))


def virtio_user_start(driver: Driver) -> None:
    front = driver.front
    in_order = driver.rings[0::2] + driver.rings[1::2]  # 22.11 goes through receive queues first
    for ring in in_order:
        ring.call = front.eventfd()
        front.send(Request.SET_VRING_CALL, u64(ring.index), [ring.call])
    front.send(Request.SET_FEATURES, u64(BASIC_FEATURES))
    front.do(Request.SET_STATUS, u64(Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK))
    assert front.ask_u64(Request.GET_STATUS) & Status.FEATURES_OK
    driver.share_memory()
    for ring in in_order:
        ring.kick = front.eventfd()
        front.send(Request.SET_VRING_NUM, state(ring.index, ring.size))
        front.send(Request.SET_VRING_BASE, state(ring.index, 0))
        front.send(Request.SET_VRING_ADDR, ring.addr())
        front.send(Request.SET_VRING_KICK, u64(ring.index), [ring.kick])
    for ring in driver.rings:
        front.send(Request.SET_VRING_ENABLE, state(ring.index, 1))
    front.do(Request.SET_STATUS, u64(0x0F))


def virtio_user_stop(driver: Driver) -> None:
    for ring in driver.rings:
        driver.front.send(Request.SET_VRING_ENABLE, state(ring.index, 0))
    for ring in driver.rings:
        driver.front.ask_base(ring.index)


@pytest.mark.parametrize("nr_rings", [2, 4])
def test_virtio_user_starts_and_is_reconfigured(make_driver, back, nr_rings):
    driver = make_driver(nr_rings=nr_rings)
    virtio_user_negotiate(driver)
    for _ in range(3):
        fresh_rings(driver)
        virtio_user_start(driver)
        all_deliver(back, driver)
        virtio_user_stop(driver)
        assert back.push(0) == 0


def test_virtio_user_hotplug(make_driver, back):
    """The table is exchanged between ENABLE 0 and ENABLE 1."""
    driver = make_driver()
    virtio_user_negotiate(driver)
    virtio_user_start(driver)
    memory = driver.memory
    halves = [memory.region(0, 1 << 20), memory.region(1 << 20)]
    for regions in (halves, [memory.region()], halves):
        driver.enable(0)
        driver.front.do(Request.SET_MEM_TABLE, mem_table(*regions), [memory.fd] * len(regions))
        driver.enable(1)
        all_deliver(back, driver)


def test_virtio_user_server_keeps_its_rings(other_backend, folder):
    """We come back: no SET_OWNER, rings stopped first, base 0 although they have moved on."""
    back = other_backend(f"client:2:{folder / 'sock'}")
    listener = Listener(folder / "sock")
    driver = Driver(listener.accept())
    virtio_user_negotiate(driver)
    virtio_user_start(driver)
    for _ in range(3):
        all_deliver(back, driver)
    for nr_delivered in (4, 5):
        driver.front.close()
        driver.front = listener.accept()
        virtio_user_stop(driver)
        virtio_user_negotiate(driver, is_first=False)
        virtio_user_start(driver)
        all_deliver(back, driver)
        assert driver.rings[0].used_idx() == nr_delivered
    driver.close()
    listener.close()


# -- cloud-hypervisor ------------------------------------------------------------------------------


def test_cloud_hypervisor(make_driver, back):
    """Has everything acknowledged; sizes first, then addresses, then a base that counts buffers."""
    driver = make_driver(nr_rings=4)
    front = driver.front
    front.do(Request.SET_OWNER)
    front.send(Request.GET_FEATURES, need_reply=True)
    front.read_reply(Request.GET_FEATURES)
    front.send(Request.GET_PROTOCOL_FEATURES, need_reply=True)
    front.read_reply(Request.GET_PROTOCOL_FEATURES)
    front.do(Request.SET_PROTOCOL_FEATURES, u64(CLOUD_HYPERVISOR_PROTOCOL))
    assert front.ask_u64(Request.GET_QUEUE_NUM) >= 4, "it counts rings, not pairs"
    front.do(Request.SET_FEATURES, u64(BASIC_FEATURES))
    driver.share_memory()
    for ring in driver.rings[0::2]:
        ring.post(16)
    cloud_hypervisor_activate(driver)
    for ring in driver.rings[0::2]:
        assert back.push(ring.index, 16) == 16, "buffers posted before the start are not lost"
    front.do(Request.ADD_MEM_REG, mem_reg(region(1 << 33, 4096, 1 << 33)), [driver.memory.fd])
    driver.enable(0)
    assert back.push(0) == 0
    driver.enable(1)
    all_deliver(back, driver)
    for ring in driver.rings:
        front.do(Request.SET_VRING_ENABLE, state(ring.index, 0))
        front.ask_base(ring.index)
    fresh_rings(driver)
    cloud_hypervisor_activate(driver)
    all_deliver(back, driver)


def cloud_hypervisor_activate(driver: Driver) -> None:
    front = driver.front
    for ring in driver.rings:
        front.do(Request.SET_VRING_NUM, state(ring.index, ring.size))
    for ring in driver.rings:
        ring.call, ring.kick = front.eventfd(), front.eventfd()
        front.do(Request.SET_VRING_ADDR, ring.addr())
        front.do(Request.SET_VRING_BASE, state(ring.index, ring.avail_idx))
        front.do(Request.SET_VRING_CALL, u64(ring.index), [ring.call])
        front.do(Request.SET_VRING_KICK, u64(ring.index), [ring.kick])
    driver.enable()


# -- random conversations --------------------------------------------------------------------------


LARGE_MEMORY = 4 << 20  # room for the buffers of 1024 entries


class RingModel:
    """What a ring was told, and what follows from that."""

    def __init__(self):
        self.has_num = self.has_addr = self.started = self.enabled = False


class Model:
    """A device as the specification has it: when does which ring run?"""

    def __init__(self, nr_rings: int, has_status: bool):
        self.rings = [RingModel() for _ in range(nr_rings)]
        self.has_features = False
        self.has_memory = False
        self.has_status = has_status
        self.driver_ok = False

    def is_running(self, ring: int) -> bool:
        told = self.rings[ring]
        return (told.has_num and told.has_addr and told.started and told.enabled and self.has_memory
                and self.has_features and (self.driver_ok or not self.has_status))

    def stop(self, ring: int) -> None:
        self.rings[ring].started = self.rings[ring].has_addr = False

    def reset(self) -> None:
        self.rings = [RingModel() for _ in self.rings]
        self.has_features = self.driver_ok = False


class Walk:
    """A front-end that says anything legal, at random, and believes the model."""

    def __init__(self, driver: Driver, back, seed: int):
        self.driver, self.front, self.back = driver, driver.front, back
        self.random = random.Random(seed)
        self.model = Model(len(driver.rings), has_status=bool(seed % 2))
        self.front.do(Request.SET_OWNER)
        self.front.do(Request.SET_PROTOCOL_FEATURES,
                      u64(ALL_PROTOCOL if self.model.has_status else NO_STATUS))
        self.said: list[str] = []

    def step(self) -> None:
        verb = self.random.choice(self.VERBS)
        ring = self.random.randrange(len(self.driver.rings))
        self.said.append(f"{verb.__name__} {ring}")
        verb(self, ring)

    def check(self) -> None:
        for ring in range(len(self.driver.rings)):
            seen = self.back.ring(ring)
            told = self.model.rings[ring]
            history = ", ".join(self.said[-25:])
            assert seen["running"] == self.model.is_running(ring), f"ring {ring} after: {history}"
            assert (seen["started"], seen["enabled"]) == (told.started, told.enabled), history

    # -- one message each

    def features(self, _ring: int) -> None:
        self.front.do(Request.SET_FEATURES, u64(BASIC_FEATURES))
        self.model.has_features = True

    def table(self, _ring: int) -> None:
        self.driver.share_memory()
        self.model.has_memory = True

    def add_region(self, _ring: int) -> None:
        self.front.do(Request.ADD_MEM_REG, self.driver.memory.reg(), [self.driver.memory.fd])
        self.model.has_memory = True

    def remove_region(self, _ring: int) -> None:
        self.front.do(Request.REM_MEM_REG, self.driver.memory.reg())
        self.model.has_memory = False

    def num(self, ring: int) -> None:
        if self.model.rings[ring].started:
            return
        self.driver.rings[ring].size = self.random.choice([64, 256, 1024])
        self.driver.rings[ring].clear()
        self.front.do(Request.SET_VRING_NUM, state(ring, self.driver.rings[ring].size))
        self.model.rings[ring].has_num = True

    def base(self, ring: int) -> None:
        if not self.model.rings[ring].started:
            self.front.do(Request.SET_VRING_BASE, state(ring, self.random.randrange(1 << 16)))

    def addr(self, ring: int) -> None:
        self.front.do(Request.SET_VRING_ADDR, self.driver.rings[ring].addr())
        self.model.rings[ring].has_addr = True

    def kick(self, ring: int) -> None:
        self._descriptor(Request.SET_VRING_KICK, ring)
        self.model.rings[ring].started = True

    def call(self, ring: int) -> None:
        self._descriptor(Request.SET_VRING_CALL, ring)

    def err(self, ring: int) -> None:
        self._descriptor(Request.SET_VRING_ERR, ring)

    def _descriptor(self, request: int, ring: int) -> None:
        if self.random.random() < 0.3:
            self.front.do(request, u64(ring | NOFD))
        else:
            self.front.do(request, u64(ring), [self.front.eventfd()])

    def enable(self, ring: int) -> None:
        on = self.random.random() < 0.8
        self.front.do(Request.SET_VRING_ENABLE, state(ring, int(on)))
        self.model.rings[ring].enabled = on

    def get_base(self, ring: int) -> None:
        self.front.ask_base(ring)
        self.model.stop(ring)

    def status(self, _ring: int) -> None:
        if not self.model.has_status:
            return
        status = self.random.choice([0x0F, 0x0F, 0x0F, 0x0B, 0])
        self.front.do(Request.SET_STATUS, u64(status))
        self.model.driver_ok = bool(status & Status.DRIVER_OK)

    def reset(self, _ring: int) -> None:
        if self.random.random() < 0.2:
            self.front.do(Request.RESET_DEVICE)
            self.model.reset()

    def reset_owner(self, _ring: int) -> None:
        if self.random.random() < 0.2:
            self.front.do(Request.RESET_OWNER)
            for ring in self.model.rings:
                ring.enabled = False

    def packet(self, ring: int) -> None:
        ring &= ~1
        if self.model.is_running(ring):
            proves_delivery(self.back, self.driver, MAIN, ring)
        else:
            taken = self.back.push(ring)
            assert not taken, f"a stopped ring took a packet after {self.said[-25:]}"

    VERBS = (2 * (features, add_region, call, err, base, get_base, packet, status) +
             4 * (table, num, addr, kick, enable) + (remove_region, reset, reset_owner))


@pytest.mark.parametrize("seed", range(30))
def test_random_legal_conversation(make_driver, back, seed):
    walk = Walk(make_driver(memory=Memory(LARGE_MEMORY)), back, seed)
    nr_running = 0
    for _ in range(400):
        walk.step()
        walk.check()
        nr_running += walk.model.is_running(0)
    assert nr_running, "the walk never came to a running ring: it tests nothing"
