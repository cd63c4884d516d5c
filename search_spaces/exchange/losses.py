"""What a form that knows only names, ranges and constants cannot hold of a space, a sentence each."""

from search_spaces.exchange.parameters import short_form
from search_spaces.fields import from_fields, to_fields
from search_spaces.space import Role, Space


def losses(space: Space, form: str) -> list[str]:
    """What is lost when the space is written in this form and read again."""
    lost = [
        f"{name} exists only where {condition.text}: {form} has no conditions, so it is always there"
        for name, condition in space.conditions.items()
    ]
    lost += [
        f"{name} is nuisance: {form} has no roles"
        for name, role in space.roles.items()
        if role is Role.NUISANCE
    ]
    for lever in space:
        bare = to_fields(from_fields(lever.name, short_form(lever.distribution)))
        differing = [field for field, value in to_fields(lever).items() if value != bare[field]]
        if differing:
            lost.append(f"{lever.name}: {form} has no place for its {', '.join(differing)}")
        if lever.key != lever.name:
            lost.append(
                f"{lever.name} sets {lever.key} by a scale of its own: {form} hands your code {lever.name}"
            )
    return lost
