"""What neighbours tell is known from then on, and the coordinator is to send it, too."""

import asyncio
import time
from collections.abc import Callable, Sequence

from wgpy.mesh.signing import Signed

from .store import RecordStore
from .withholding_detector import CATCH_UP_TIME, WithholdingDetector


def learn_from_neighbour(
    store: RecordStore,
    withholding: WithholdingDetector,
    on_news: Callable[[], None],
    records: Sequence[Signed],
    source: str,
) -> bool:
    """Keep what is new, and return whether all was genuine. source: `neighbour NAME`.

    on_news: called now and once the coordinator has had time to send it, if anything is new.
    """
    learned = store.learn(records, source)
    if learned.new:
        withholding.learned_from_neighbour(learned.new, source, time.monotonic())
        on_news()
        asyncio.get_running_loop().call_later(CATCH_UP_TIME, on_news)
    return learned.genuine
