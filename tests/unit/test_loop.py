"""The small loop does what asyncio's does, for what an interface and its daemon ask of it."""

import asyncio
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from wgpy.loop.running import running_loop
from wgpy.loop.small import SmallLoop
from wgpy.loop.waiting import Event, Lock, first, readable, sleep, turn, writable

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["small", "small that uses asyncio", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """What runs a coroutine to its end."""
    match request.param:
        case "small":
            return SmallLoop().run
        case "asyncio":
            return asyncio.run
    loop = SmallLoop()

    async def using_asyncio(main: Coroutine[Any, Any, None]) -> None:
        loop.use_asyncio()
        await loop.create_task(main)

    return lambda main: loop.run(using_asyncio(main))


def test_calls_come_in_their_order_and_later_ones_by_their_time(run: Run) -> None:
    seen: list[int] = []

    async def main() -> None:
        loop, done = running_loop(), Event()
        loop.call_later(0.02, done.set)
        loop.call_later(0.01, seen.append, 3)
        loop.call_later(0.0, seen.append, 2)
        loop.call_soon(seen.append, 0)
        loop.call_soon(seen.append, 1)
        loop.call_soon(seen.append, 9).cancel()
        loop.call_later(0.0, seen.append, 9).cancel()
        await done.wait()

    run(main())

    assert seen == [0, 1, 2, 3]


def test_a_turn_lets_others_go_first(run: Run) -> None:
    seen: list[str] = []

    async def other() -> None:
        seen.append("other")

    async def main() -> None:
        running_loop().create_task(other())
        await turn()
        await turn()
        seen.append("main")

    run(main())

    assert seen == ["other", "main"]


def test_an_event_wakes_all_who_wait_and_time_ends_waiting(run: Run) -> None:
    seen: list[bool] = []

    async def wait(event: Event) -> None:
        seen.append(await event.wait())

    async def main() -> None:
        event = Event()
        assert not await event.wait(0.001)
        tasks = [running_loop().create_task(wait(event)) for _ in range(2)]
        await sleep(0.001)
        assert not seen
        event.set()
        event.set()
        assert await event.wait(0)
        while not all(task.done() for task in tasks):
            await turn()
        event.clear()
        assert not await event.wait(0.001)

    run(main())

    assert seen == [True, True]


def test_a_lock_is_given_in_the_order_of_asking(run: Run) -> None:
    seen: list[int] = []

    async def work(lock: Lock, number: int) -> None:
        async with lock:
            await turn()
            seen.append(number)

    async def main() -> None:
        lock = Lock()
        async with lock:
            tasks = [running_loop().create_task(work(lock, number)) for number in range(4)]
            await sleep(0.001)
            tasks[1].cancel()
            await sleep(0.001)
        while not all(task.done() for task in tasks):
            await turn()
        async with lock:
            pass

    run(main())

    assert seen == [0, 2, 3]


def test_a_lock_whose_turn_came_to_one_that_ends_goes_on_to_the_next(run: Run) -> None:
    seen: list[int] = []

    async def work(lock: Lock, number: int) -> None:
        async with lock:
            seen.append(number)

    async def main() -> None:
        lock = Lock()
        async with lock:
            tasks = [running_loop().create_task(work(lock, number)) for number in range(2)]
            await sleep(0.001)
        tasks[0].cancel()  # its turn has come, and it has not run since
        while not all(task.done() for task in tasks):
            await turn()
        async with lock:
            pass

    run(main())

    assert seen == [1]


def test_descriptors_are_watched_both_ways_and_no_more(run: Run) -> None:
    near, far = _pair()
    seen: list[bytes] = []

    async def main() -> None:
        loop = running_loop()
        with pytest.raises(TimeoutError):
            await readable(near.fileno(), 0.001)
        far.send(b"hello")
        await readable(near.fileno())
        await writable(near.fileno(), 1)
        loop.add_reader(near.fileno(), seen.append, b"first")
        loop.add_reader(near.fileno(), lambda: seen.append(near.recv(100)))
        loop.add_writer(near.fileno(), lambda: None)
        while not seen:
            await turn()
        assert loop.remove_reader(near.fileno())
        assert not loop.remove_reader(near.fileno())
        assert loop.remove_writer(near.fileno())
        far.send(b"again")
        await sleep(0.001)
        far.close()
        await readable(near.fileno())

    run(main())
    near.close()

    assert seen == [b"hello"]


def test_a_reader_that_is_removed_by_another_is_not_called(run: Run) -> None:
    pairs = [_pair() for _ in range(2)]
    seen: list[int] = []

    async def main() -> None:
        loop = running_loop()

        def only(number: int) -> None:
            seen.append(number)
            for near, _ in pairs:
                loop.remove_reader(near.fileno())

        for number, (near, far) in enumerate(pairs):
            far.send(b"x")
            loop.add_reader(near.fileno(), only, number)
        await sleep(0.01)

    run(main())
    for end in (one for pair in pairs for one in pair):
        end.close()

    assert len(seen) == 1


def test_a_descriptor_that_was_closed_can_be_removed_and_its_number_used_again(run: Run) -> None:
    async def main() -> None:
        loop = running_loop()
        near, far = _pair()
        number = near.fileno()
        loop.add_reader(number, lambda: None)
        loop.remove_reader(number)
        near.close()
        far.close()
        loop.remove_reader(number)
        near, far = _pair()
        far.send(b"x")
        await readable(near.fileno(), 1)
        near.close()
        far.close()

    run(main())


def test_the_first_of_two_ends_the_other(run: Run) -> None:
    seen: list[str] = []

    async def endless() -> None:
        try:
            await Event().wait()
        finally:
            seen.append("ended")

    async def failing() -> None:
        await turn()
        raise OSError(errno.EIO, "broken")

    async def main() -> None:
        await first(endless(), sleep(0.001))
        await turn()
        with pytest.raises(OSError, match="broken"):
            await first(endless(), failing())
        await turn()

    run(main())

    assert seen == ["ended", "ended"]


def test_a_signal_calls_back(run: Run) -> None:
    before = signal.getsignal(signal.SIGUSR1)

    async def main() -> None:
        event = Event()
        running_loop().add_signal_handler(signal.SIGUSR1, event.set)
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert await event.wait(10)

    run(main())

    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_failing_call_is_logged_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> None:
        raise ValueError("of a task")

    async def main() -> None:
        loop = running_loop()
        loop.call_soon(int, "of a call")
        loop.create_task(failing())
        await sleep(0.001)

    SmallLoop().run(main())

    assert "of a call" in caplog.text
    assert "of a task" in caplog.text


def test_what_the_main_coroutine_raises_is_raised_and_the_others_end(run: Run) -> None:
    seen: list[str] = []

    async def other() -> None:
        try:
            await Event().wait()
        finally:
            seen.append("ended")

    async def main() -> None:
        running_loop().create_task(other())
        await sleep(0.001)
        raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        run(main())
    assert seen == ["ended"]
    with pytest.raises(RuntimeError):
        running_loop()


def test_asyncio_works_on_a_small_loop_once_it_is_used() -> None:
    seen: list[str] = []

    async def by_asyncio() -> None:
        assert running_loop() is asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        async with asyncio.Semaphore(1):
            await asyncio.sleep(0.001)
        asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        threading.Thread(target=loop.call_soon_threadsafe, args=(asked.set_result, "answer")).start()
        seen.append(await asked)

    async def main() -> None:
        loop = running_loop()
        assert isinstance(loop, SmallLoop)
        loop.use_asyncio()
        endless = asyncio.get_running_loop().create_task(asyncio.Event().wait())
        await loop.create_task(by_asyncio())
        assert not endless.done()

    SmallLoop().run(main())

    assert seen == ["answer"]
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_a_thread_may_ask_for_a_call_also_when_the_loop_has_just_ended() -> None:
    loop = SmallLoop()

    async def main() -> None:
        pass

    loop.run(main())

    loop.call_soon_threadsafe(print)


def _pair() -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    near.setblocking(False)
    return near, far
