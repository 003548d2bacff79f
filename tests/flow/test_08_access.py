"""Who may act: nobody locks a tenant out of its own kill switch, and whoever holds the database gets in again."""

from typing import Any

import pytest

from paywarden.flow import access
from paywarden.flow.desk import Actor
from paywarden.identity import api_keys
from paywarden.kit.errors import AuthenticationError, NotFoundError, StateConflictError
from tests.flow.world import World, all_of

pytestmark = pytest.mark.shared_sandbox


async def with_key(world: World, who: Actor, seconds: int | None = None) -> str:
    return (await access.create_key(world.stage.desk, world.stage.admin, who.principal.id, seconds))[1]


async def another_administrator(world: World, *, key: bool = True) -> Actor:
    who = await world.reviewer("second", roles=("administer",))
    if key:
        await with_key(world, who)
    return who


async def suspend(world: World, actor: Actor, whom: Actor) -> Any:
    return await access.set_principal_status(world.stage.desk, actor, whom.principal.id, "suspended")


def keys_of(world: World, who: Actor) -> list[Any]:
    return world.sql("select id from paywarden.api_keys where principal_id = %s", who.principal.id)


async def test_the_last_administrator_cannot_be_suspended(world: World) -> None:
    admin = world.stage.admin
    await with_key(world, await world.reviewer("reviewer"))
    with pytest.raises(StateConflictError, match="nobody who may administer"):
        await suspend(world, admin, admin)
    await another_administrator(world, key=False)
    with pytest.raises(StateConflictError, match="and a key first"):
        await suspend(world, admin, admin)
    (second,) = world.sql("select id from paywarden.principals where name = 'second'")
    await access.create_key(world.stage.desk, admin, second["id"], 600)
    assert (await suspend(world, admin, admin)).status == "suspended"


async def test_the_last_administrators_last_key_cannot_be_revoked(world: World) -> None:
    admin = world.stage.admin
    (only,) = keys_of(world, admin)
    with pytest.raises(StateConflictError, match="nobody who may administer"):
        await access.revoke_key(world.stage.desk, admin, only["id"])
    assert world.one("select revoked_at from paywarden.api_keys where id = %s", only["id"]) is None
    await with_key(world, admin)
    assert (await access.revoke_key(world.stage.desk, admin, only["id"]))["revoked_at"] is not None


async def test_a_key_that_has_expired_does_not_count(world: World) -> None:
    await with_key(world, await another_administrator(world, key=False), 60)
    await world.advance(61)
    with pytest.raises(StateConflictError):
        await suspend(world, world.stage.admin, world.stage.admin)


async def test_two_administrators_cannot_stop_each_other_at_once(world: World) -> None:
    for _ in range(4):
        one, other = world.stage.admin, await another_administrator(world)
        done = await all_of(suspend(world, one, other), suspend(world, other, one))
        assert sum(isinstance(each, StateConflictError) for each in done) == 1
        world.edit("update paywarden.principals set status = 'active'")
        world.edit("delete from paywarden.api_keys where principal_id = %s", other.principal.id)
        world.edit("delete from paywarden.principals where id = %s", other.principal.id)


async def test_whoever_holds_the_database_gets_in_again(world: World) -> None:
    world.edit("update paywarden.principals set status = 'suspended' where id = %s", world.stage.admin.principal.id)
    key = await access.create_admin_key_of(world.stage.desk.pool, "quickstart")
    with pytest.raises(NotFoundError, match="'nobody'"):
        await access.create_admin_key_of(world.stage.desk.pool, "nobody")
    back = await access.authenticate(world.stage.desk.pool, key)
    assert (back.id, back.status) == (world.stage.admin.principal.id, "active")
    told = world.one("select data from paywarden.events where type = 'principal.active' and subject_id = %s", back.id)
    assert told == {"by": "operator"}


async def test_broken_twin_without_the_guard_nobody_is_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def always(_: Any) -> bool:
        return True

    monkeypatch.setattr(api_keys, "administrator_remains", always)
    key = await with_key(world, world.stage.admin)
    await suspend(world, world.stage.admin, world.stage.admin)
    with pytest.raises(AuthenticationError):
        await access.authenticate(world.stage.desk.pool, key)
