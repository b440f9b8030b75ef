"""What a flow is used for: where the data come from, how good the model is at it, and the pictures.

All applications share one network, one loss, one training loop and one pipeline. ``base`` has the
contract; a new one joins the table.
"""

from flow_models.applications.base import Application
from flow_models.applications.image_anomaly import ImageAnomaly

APPLICATIONS: dict[str, Application] = {application.name: application for application in (ImageAnomaly(),)}
