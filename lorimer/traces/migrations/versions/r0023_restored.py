"""A store on PostgreSQL is restored from what `pg_dump` wrote: its index function names nothing that lies in the store's schema.

A restore runs without the schemas that a connection looks in, so a function of the store's own was not found there, and no step
came back.
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

INDEX = r"""
CREATE OR REPLACE FUNCTION lorimer_index(said text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  plain text := regexp_replace(
    regexp_replace(normalize(said, NFD), '[\u0300-\u036f]+', '', 'g'),
    '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u2000-\u206f\u3000-\u303f]+', ' ', 'g');
BEGIN
  RETURN to_tsvector('pg_catalog.simple', plain);
EXCEPTION WHEN program_limit_exceeded THEN
  RETURN to_tsvector('pg_catalog.simple', left(plain, 100000));
END $$
"""
"""The words are those of `lorimer_words` (postgresql.sql), which a search is still put through."""


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(INDEX)
