"""What a sync runs with: how changes made here reach the cloud, and how both sides meet."""

from __future__ import annotations

import socket
import time

from cloudfs.config import MountConfig
from cloudfs.daemon.foundation import Foundation
from cloudfs.database.bridge import Database
from cloudfs.database.identities import Identities
from cloudfs.sync.brake import DeleteBrake
from cloudfs.sync.encounter import Encounter
from cloudfs.sync.engine import Engine
from cloudfs.sync.operations import Operations
from cloudfs.sync.push import Push
from cloudfs.sync.reappearance import Reappearance
from cloudfs.sync.restoring import Restoring
from cloudfs.sync.sync_pass import Parts
from cloudfs.transfers.abilities import Abilities
from cloudfs.transfers.settling import Settling
from cloudfs.transfers.uploads import Uploads

_OTHERS_CONNECTIONS = 4  # that a sync leaves to programs


class Syncing:
    """The uploads and the engine of one mount, over its foundation. None of it has tasks of its own."""

    def __init__(self, config: MountConfig, base: Foundation, database: Database) -> None:
        tree, store, cloud, timeout_s = base.tree, base.store, base.cloud, config.cloud.timeout
        settling = Settling(tree, store, cloud, timeout_s=timeout_s)
        self.uploads = Uploads(tree, store, cloud, base.transfers, settling, timeout_s=timeout_s)
        operations = Operations(tree, base.listings, cloud, self.uploads, settling, timeout_s=timeout_s)
        encounter = Encounter(tree, store, cloud, settling, host=socket.gethostname(), timeout_s=timeout_s)
        brake = DeleteBrake(base.settings, config.sync.delete_brake)
        parts = Parts(
            tree=tree,
            listings=base.listings,
            transfers=base.transfers,
            uploads=self.uploads,
            settling=settling,
            encounter=encounter,
            push=Push(tree, operations),
            abilities=Abilities(cloud, base.settings, config.cloud.url),
            brake=brake,
            parallel=max(1, config.cloud.max_connections - _OTHERS_CONNECTIONS),
            read_only=config.mount.read_only,
            now_ms=lambda: time.time_ns() // 1_000_000,
        )
        self.engine = Engine(
            parts,
            cloud,
            Reappearance(tree, Identities(database)),
            Restoring(tree, store, base.editor, encounter, brake),
            gallery=base.gallery,
        )
