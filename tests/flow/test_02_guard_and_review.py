"""Guard and review: nobody says yes to their own payment, and a yes is to one exact action, for a while."""

from paywarden.kit.states import Status
from tests.flow.world import World


async def test_a_refund_that_the_records_justify_is_sent_in_the_asking_call(world: World) -> None:
    charge = await world.double_charge("cust_1", 900)
    refund = (await world.stage.ask(world.refund_of(charge, 900))).payment
    assert (refund.status, refund.oversight) == (Status.PROCESSING, "advised")
