"""Places for trials, of which there may be more or fewer while they are taken."""

from __future__ import annotations

import asyncio

from lorimer.task_agent.scheduling.places import Places


class Guests:
    """Who has a place, in the order in which they got it."""

    def __init__(self, most: int) -> None:
        self.places, self.inside, self.log = Places(most), set[str](), list[str]()
        self._done: dict[str, asyncio.Event] = {}

    def come(self, name: str) -> asyncio.Task[None]:
        async def stay() -> None:
            async with self.places:
                self.inside.add(name)
                self.log.append(name)
                await self._done[name].wait()
            self.inside.discard(name)

        self._done[name] = asyncio.Event()
        return asyncio.create_task(stay())

    def go(self, name: str) -> None:
        self._done[name].set()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_more_places_let_in_who_has_waited_longest_and_fewer_send_nobody_away() -> None:
    guests = Guests(1)
    tasks = [guests.come(name) for name in "abcde"]
    await settled()
    assert guests.log == ["a"]
    guests.places.resize(3)
    await settled()
    assert guests.log == ["a", "b", "c"]
    guests.places.resize(1)
    await settled()
    assert guests.inside == {"a", "b", "c"}
    for name in "ab":
        guests.go(name)
    await settled()
    assert guests.log == ["a", "b", "c"], "there is one place, and it is taken"
    guests.go("c")
    await settled()
    assert guests.log == ["a", "b", "c", "d"]
    for name in "de":
        guests.go(name)
    await asyncio.gather(*tasks)


async def test_who_gives_up_waiting_keeps_nobody_out() -> None:
    guests = Guests(1)
    first, second, third = (guests.come(name) for name in "abc")
    await settled()
    second.cancel()
    guests.go("a")
    await settled()
    assert guests.log == ["a", "c"]
    fourth = guests.come("d")
    await settled()
    guests.go("c")  # `d` is let in, and cancelled before it hears of it
    await asyncio.sleep(0)
    fourth.cancel()
    await settled()
    fifth = guests.come("e")
    await settled()
    assert "e" in guests.inside
    guests.go("e")
    await asyncio.gather(first, third, fifth)
    await asyncio.gather(second, fourth, return_exceptions=True)


async def test_a_change_wakes_who_waits_for_it_then() -> None:
    places = Places(2)
    told = [asyncio.create_task(places.resized(2)) for _ in range(2)]
    await settled()
    places.resize(3)
    await asyncio.gather(*told)
    await places.resized(2)  # as that has been already
    later = asyncio.create_task(places.resized(3))
    await settled()
    assert not later.done()
    later.cancel()
