"""Every plot of the bundled stories."""

from __future__ import annotations

from talewright.data.bundled.plots import animals, friends, home, outdoors, short, tales, town

ALL = home.PLOTS + outdoors.PLOTS + friends.PLOTS + town.PLOTS + animals.PLOTS + tales.PLOTS + short.PLOTS
