"""References to secrets that a provider never sees."""


class Sealed(str):
    """An opaque text that stands for a secret.

    It is of use in an authorisation and in a proof only; the runtime refuses to let it out anywhere else.
    """

    __slots__ = ()
