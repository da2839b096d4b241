"""The credentials that there are."""

from __future__ import annotations

import pytest

from pdns.config.policy_schema import Tenant
from pdns.config.schema import Config, Upstream
from pdns.enrolment.access import EnrolmentError
from pdns.enrolment.listing import refuse_configured

TOKEN, CERTIFICATE = "1" * 64, "2" * 64


def test_what_is_configured_is_not_enrolled() -> None:
    """A tenant that enrolled the fingerprint of another one's device could revoke it."""
    tenants = (Tenant(name="north", doh_token_sha256=TOKEN), Tenant(name="south", certificate_sha256=CERTIFICATE))
    config = Config(upstream=Upstream(servers=("192.0.2.53",)), tenant=tenants)
    for digest in (TOKEN, CERTIFICATE):
        with pytest.raises(EnrolmentError, match=f"{digest[:12]} is in the configuration"):
            refuse_configured(config, digest)
    refuse_configured(config, "3" * 64)
