"""Engine of spinviz: classical spins coupled to electrons, without any screen."""
