"""The roles of principals. Every role in one place: identity gives them, policies and reviews ask for them."""

from typing import Literal

Role = Literal["initiate", "review", "settle", "administer", "risk", "finance", "approver"]
ROLES: tuple[Role, ...] = ("initiate", "review", "settle", "administer", "risk", "finance", "approver")
REVIEW_ROLES: tuple[Role, ...] = ("review", "approver", "risk", "finance")
"""Who may give a verdict on another principal's payment; ``review`` is the one that the shipped policies ask for."""
