"""How an operation ends before its answer."""

from typing import Self

from wit_world.imports import types
from wit_world.imports.types import FailureKind, FailureOwner


class Failure(Exception):
    """An operation failed, and this says whose it is to mend.

    ``code`` is stable, short and in kebab case, without the provider's name. ``message`` is one sentence for the user: what
    happened and what helps, at most 500 characters, without secrets and without phone numbers.
    """

    def __init__(self, kind: FailureKind, code: str, message: str, *, retryable: bool, owner: FailureOwner) -> None:
        super().__init__(f"{code}: {message}")
        self.kind = kind
        self.code = code
        self.message = message
        self.retryable = retryable
        self.owner = owner

    @classmethod
    def configuration(cls, code: str, message: str) -> Self:
        """The stored credentials or settings cannot work until the user changes them."""
        return cls(FailureKind.CONFIGURATION, code, message, retryable=False, owner=FailureOwner.USER)

    @classmethod
    def quota(cls, code: str, message: str) -> Self:
        """The account has no balance. For a rate limit, see :meth:`rate_limit`."""
        return cls(FailureKind.QUOTA, code, message, retryable=False, owner=FailureOwner.USER)

    @classmethod
    def rate_limit(cls, code: str, message: str) -> Self:
        """The account is asked to slow down; the same request may succeed later."""
        return cls(FailureKind.QUOTA, code, message, retryable=True, owner=FailureOwner.OPERATOR)

    @classmethod
    def carrier(cls, code: str, message: str) -> Self:
        """The carrier is down, or answered something that it does not document. May succeed later."""
        return cls(FailureKind.CARRIER, code, message, retryable=True, owner=FailureOwner.OPERATOR)

    @classmethod
    def request(cls, code: str, message: str) -> Self:
        """What was asked cannot be done: a bad number, a call that does not exist."""
        return cls(FailureKind.REQUEST, code, message, retryable=False, owner=FailureOwner.USER)

    @classmethod
    def unsupported(cls, code: str, message: str) -> Self:
        """The carrier cannot do that."""
        return cls(FailureKind.UNSUPPORTED, code, message, retryable=False, owner=FailureOwner.USER)

    @classmethod
    def internal(cls, code: str, message: str) -> Self:
        """A defect of the provider or of the gateway."""
        return cls(FailureKind.INTERNAL, code, message, retryable=False, owner=FailureOwner.OPERATOR)

    @classmethod
    def from_status(cls, status: int) -> Self:
        """What to make of an answer with this HTTP status that is not the documented success."""
        match status:
            case 401 | 403:
                return cls.configuration(
                    "credentials-refused",
                    f"The carrier refused the credentials (HTTP {status}); check them in the configuration.",
                )
            case 402:
                return cls.quota("no-balance", "The carrier asks for payment (HTTP 402); check the account's balance.")
            case 429:
                return cls.rate_limit("rate-limited", "The carrier limits the rate of requests (HTTP 429); try again later.")
            case 408:
                return cls.carrier("carrier-error", "The carrier took too long (HTTP 408); try again later.")
            case _ if status >= 500:
                return cls.carrier(
                    "carrier-error", f"The carrier could not process the request (HTTP {status}); try again later."
                )
            case _ if status >= 400:
                return cls.request(
                    "request-refused",
                    f"The carrier refused the request (HTTP {status}); check the number and the settings that it is about.",
                )
            case _ if 300 <= status < 400:
                return cls.configuration(
                    "redirected",
                    f"The carrier answered with a redirect (HTTP {status}); check the configured address.",
                )
            case _:
                return cls.unexpected_answer(f"HTTP {status}")

    @classmethod
    def unexpected_answer(cls, what: str) -> Self:
        """The carrier answered with something that its documentation does not have."""
        return cls.carrier("unexpected-answer", f"The carrier's answer was not understood ({what}); try again later.")

    def record(self) -> types.Failure:
        """As the contract has it."""
        return types.Failure(self.kind, self.code, self.message, self.retryable, self.owner)


class Unreachable(Failure):
    """No response arrived from the carrier: not reachable, timed out, refused."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            FailureKind.CARRIER,
            "unreachable",
            "The carrier could not be reached; try again later.",
            retryable=True,
            owner=FailureOwner.OPERATOR,
        )
        #: For the log; not for users.
        self.reason = reason


class Interruption(BaseException):
    """An effect is to be performed. Not an ``Exception``: an author's ``except Exception`` must not hold it up."""

    def __init__(self, effect: types.Effect) -> None:
        super().__init__("an effect is to be performed")
        self.effect = effect
