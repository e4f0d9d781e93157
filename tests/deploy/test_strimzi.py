"""What `topics render` writes has the fields of Strimzi's API, and no others."""

from __future__ import annotations

from typing import get_args

import jsonschema
import pytest
import yaml

from tests.deploy.specification import validate_custom
from worker.kafka.topics.declared import load_topics
from worker.kafka.topics.strimzi import Authentication, render


@pytest.mark.parametrize("authentication", get_args(Authentication))
def test_strimzi_takes_every_topic_and_user(authentication: Authentication) -> None:
    """Each KafkaTopic and KafkaUser is valid field by field; a wrong operation would not be."""
    text = render(load_topics(), cluster="kafka", namespace="money", authentication=authentication)
    resources = list(yaml.safe_load_all(text))
    assert {one["kind"] for one in resources} == {"KafkaTopic", "KafkaUser"}
    for one in resources:
        validate_custom(one)
    user = next(one for one in resources if one["kind"] == "KafkaUser")
    user["spec"]["authorization"]["acls"][0]["operations"] = ["Writ"]
    with pytest.raises(jsonschema.ValidationError, match="Writ"):
        validate_custom(user)
