"""Versions of a database's tables, brought up to date one step after another by Alembic.

The steps are `v1.py`, `v2.py` and so on in a folder of the wheel, each with a function `upgrade(op)`. They run in the
transaction in which a database is first used: all of them or none, and nobody else writes meanwhile. There is no way
back down: a step only adds, so that what an older program wrote stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, inspect, select, table

from parfocal.core.errors import UsageError

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, RevisionStep


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions that this program knows of one set of tables.

    Attributes:
        folder: of the steps.
        table: in which a database keeps its version.
        first: a table of version 1; where it is without a version, the database is from before versions were kept.
    """

    folder: Path
    table: str
    first: str

    @property
    def known(self) -> list[str]:
        """Names, oldest first."""
        return sorted((file.stem for file in self.folder.glob("v[0-9]*.py")), key=lambda name: int(name[1:]))

    def stored(self, connection: Connection) -> str:
        """The version of a database; "" for one without these tables."""
        tables = inspect(connection)
        if tables.has_table(self.table):
            return connection.execute(select(column("version_num")).select_from(table(self.table))).scalar() or ""
        return "v1" if tables.has_table(self.first) else ""

    def bring_up(self, connection: Connection, name: str, to: str = "") -> str:
        """Run the steps that a database lacks, in the transaction of `connection`.

        Args:
            connection: in a transaction in which nobody else writes.
            name: whose the tables are, in errors.
            to: version at which to stop; the newest.

        Returns:
            The version it had.

        Raises:
            UsageError: a newer program has been here.
        """
        before, known = self.stored(connection), self.known
        if before and before not in known:
            raise UsageError(
                f"{name}'s database is of version {before[1:]}, made by a newer program",
                expected=f"version {known[-1][1:]} or older",
                next="run the program that wrote it, or a newer one",
            )
        if before != (to or known[-1]) or not inspect(connection).has_table(self.table):
            self._run(connection, before, to or known[-1])
        return before

    def _run(self, connection: Connection, before: str, to: str) -> None:
        from alembic.operations import Operations
        from alembic.runtime.migration import MigrationContext, MigrationStep
        from alembic.script import ScriptDirectory

        scripts = ScriptDirectory(self.folder, version_locations=[self.folder])

        def steps(_: object, __: MigrationContext) -> Iterable[RevisionStep]:
            missing = scripts.iterate_revisions(to, before or None, implicit_base=True)
            return [MigrationStep.upgrade_from_script(scripts.revision_map, one) for one in reversed(list(missing))]

        context = MigrationContext.configure(connection, opts={"version_table": self.table, "fn": steps})
        if before and not inspect(connection).has_table(self.table):
            context.stamp(scripts, before)
        # Operations go in as an argument: Alembic's own way is one variable for all threads and for MLflow too.
        context.run_migrations(op=Operations(context))
