"""Rooms of jobs: whoever asked for a job hears how far it is, without asking again and again."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from luminai.contracts.errors import NotFound
from luminai.contracts.identity import Actor
from luminai.contracts.live import Channel
from luminai.host.live import PluginLive
from luminai.http.rooms.channels import ChannelTable
from luminai.http.rooms.rooms import Rooms
from luminai.work.job_list import JobList

SCOPE = "hub:jobs"


class JobProgress(Struct, frozen=True):
    """How far a job is, as ``Job.progress`` was told."""

    done: int
    total: int
    note: str = ""


class JobState(Struct, frozen=True):
    """In which state a job is now."""

    state: str


class JobRooms:
    """The core's own channel ``core.job.<id>``."""

    def __init__(self, rooms: Rooms, job_list: JobList) -> None:
        self._job_list = job_list
        self.channels = ChannelTable()
        kinds: dict[str, type[Struct]] = {"progress": JobProgress, "state": JobState}
        self.channels.declare("core", [Channel(name="job.{id}", kinds=kinds, may_join=self._may_join, summary="Progress and states of a job.")])
        self._live = PluginLive("core", rooms, lambda: self.channels)

    def tell(self, job: str, said: JobProgress | JobState) -> None:
        """Tell who follows a job."""
        self._live.publish(f"core.job.{job}", "progress" if isinstance(said, JobProgress) else "state", said)

    async def _may_join(self, actor: Actor, params: Mapping[str, str]) -> bool:
        try:
            await self._job_list.find(params["id"], subject=whose(actor))
        except NotFound:
            return False
        return True


def whose(actor: Actor) -> str | None:
    """Operators see all; anybody else the own ones, and those of others as little as those that never were."""
    return None if actor.may(SCOPE) else actor.subject
