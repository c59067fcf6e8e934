"""All networks by name."""

from engine.learning.network import Network
from engine.learning.networks.acsf import ACSF
from engine.learning.networks.adjustable import AdjustableRings
from engine.learning.networks.bp import BP
from engine.learning.networks.cnn import CNN
from engine.learning.networks.ecnn import ECNN
from engine.learning.networks.few_poles import FewPoles
from engine.learning.networks.medium import MediumNetwork
from engine.learning.networks.messages import MessageNetwork
from engine.learning.networks.moments import MomentNetwork
from engine.learning.networks.rings import RingNetwork

NETWORKS: dict[str, type[Network]] = {
    "ecnn": ECNN,
    "cnn": CNN,
    "bp": BP,
    "rings": RingNetwork,
    "adjustable": AdjustableRings,
    "messages": MessageNetwork,
    "moments": MomentNetwork,
    "poles": FewPoles,
    "acsf": ACSF,
    "medium": MediumNetwork,
}
