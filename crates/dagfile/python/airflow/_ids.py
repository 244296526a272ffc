"""What may be an id: the same law as the model crate's `ids`."""

from airflow._problem import InvalidArgument

MAX_ID_LENGTH = 250


def check_id(value, what):
    """Hands back the id, or says what is wrong with it."""
    if not isinstance(value, str):
        raise InvalidArgument("%s is a %s, not text" % (what, type(value).__name__), "write the id in quotes")
    if not value:
        raise InvalidArgument("%s is empty" % what, "give it an id")
    if len(value) > MAX_ID_LENGTH:
        raise InvalidArgument("%s has %d characters" % (what, len(value)), "an id has at most %d" % MAX_ID_LENGTH)
    for character in value:
        if not (character.isalnum() or character in "-._"):
            raise InvalidArgument(
                "%s %r holds %r" % (what, value, character), "an id is made of letters, digits, dashes, dots and underscores"
            )
    return str(value)
