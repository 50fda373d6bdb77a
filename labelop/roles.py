"""Who may do what to labels: `roles.yaml` says which person has which role, and whose word each dataset needs.

Names are what the operating system or LABELOP_USER says: it keeps honest people from slips and makes records tell who
did what, and it stops nobody who can pretend to be another or read the tables' files, where everything stands. Knows no
store and no review.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import ConfigDict, Field

from labelop.errors import RoleError
from labelop.forms import FirstSchema, StrictForm, read_form

Role: TypeAlias = Literal["operator", "reviewer", "lead", "analyst"]
"""operator runs nights, reviewer judges labels, lead answers for them, analyst reads."""
Action: TypeAlias = Literal[
    "import", "review", "approve", "withdraw", "override", "release", "compare reviewers", "end a pilot", "save seconds"
]
"""What needs a role; everything else needs none."""
ACTIONS: tuple[Action, ...] = get_args(Action)

_ALLOWED: Mapping[Action, tuple[Role, ...]] = {
    # what comes in counts as approved by those who submitted it
    "import": ("operator", "reviewer", "lead"),
    "review": ("reviewer", "lead"),
    "approve": ("reviewer", "lead"),
    "withdraw": ("lead",),
    "override": ("lead",),
    "release": ("lead",),
    "compare reviewers": ("lead",),
    "end a pilot": ("operator", "lead"),
    # what later reviews of others are modelled with
    "save seconds": ("operator", "lead"),
}
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_HINT = "roles.yaml in the folder of LABELOP_CONFIG says who has which role; LABELOP_USER says who you are."


class _Form(StrictForm):
    model_config = ConfigDict(strict=True)


class _ApprovalForm(_Form):
    dataset: _Name
    role: Literal["reviewer", "lead"]


class _RolesForm(_Form):
    form: FirstSchema = Field(alias="schema")
    people: dict[_Name, Annotated[list[Role], Field(min_length=1)]] = Field(default_factory=dict)
    others: list[Role]
    approval: list[_ApprovalForm] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles in force."""

    people: Mapping[str, frozenset[Role]]
    """Roles by name."""
    others: frozenset[Role]
    """Roles of whoever is not named."""
    approval: tuple[tuple[str, Literal["reviewer", "lead"]], ...] = ()
    """Pattern of dataset names and the least role whose approval counts there; the first that fits."""

    def of(self, name: str) -> frozenset[Role]:
        """Give the roles of a person."""
        return self.people.get(name, self.others)

    def approver(self, dataset: str) -> Literal["reviewer", "lead"]:
        """Give the least role whose approval makes labels of a dataset accepted."""
        return next((role for pattern, role in self.approval if fnmatchcase(dataset, pattern)), "reviewer")

    def acting(self, name: str, action: Action, dataset: str | None = None) -> Role | None:
        """Give the role as which a person may do something; None when they may not.

        Args:
            name: Who.
            action: What.
            dataset: Where it matters: approving needs what the dataset needs.
        """
        allowed = _ALLOWED[action]
        if action == "approve" and dataset is not None and self.approver(dataset) == "lead":
            allowed = ("lead",)
        return next((role for role in reversed(allowed) if role in self.of(name)), None)

    def require(self, name: str, action: Action, dataset: str | None = None) -> Role:
        """Give the role as which a person does something.

        Raises:
            RoleError: They may not; names person, roles and what is needed.
        """
        role = self.acting(name, action, dataset)
        if role is None:
            needed = "lead" if self._needs_lead(action, dataset) else " or ".join(_ALLOWED[action])
            has = ", ".join(sorted(self.of(name))) or "none"
            about = "of" if " " in action else "labels of"  # of two words the second says of what
            what = f"{action} {about} {dataset}" if dataset else action
            raise RoleError(f"{name!r} may not {what}: roles {has}, expected {needed}.", hint=_HINT)
        return role

    def _needs_lead(self, action: Action, dataset: str | None) -> bool:
        return action == "approve" and dataset is not None and self.approver(dataset) == "lead"


NO_FILE = Roles({}, frozenset(get_args(Role)) - {"lead"})
"""What counts without a file: everybody may review, nobody answers for labels."""


def load_roles(path: Path) -> Roles:
    """Read `roles.yaml`; where there is none, `NO_FILE` counts.

    Raises:
        PolicyError: The file breaks its form; names file, key, value found and values allowed.
    """
    if not path.exists():
        return NO_FILE
    form = read_form(path, _RolesForm)
    return Roles(
        people={name: frozenset(roles) for name, roles in form.people.items()},
        others=frozenset(form.others),
        approval=tuple((one.dataset, one.role) for one in form.approval),
    )
