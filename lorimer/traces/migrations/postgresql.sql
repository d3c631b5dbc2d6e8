-- The whole schema of revision 0018 on PostgreSQL, where no store is older. Later revisions are run on it as on SQLite.
-- Texts are ordered by their bytes, as SQLite orders them: a decision must not hang on a server's language. JSON is kept as text, so
-- that what was hashed stays as it was.

CREATE TABLE alembic_version (version_num varchar(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
INSERT INTO alembic_version VALUES ('0018');

CREATE TABLE study (
  id text COLLATE "C" PRIMARY KEY,
  kind text COLLATE "C" NOT NULL,
  created text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL,
  state_reason text COLLATE "C" NOT NULL,
  seed bigint NOT NULL,
  task_model text COLLATE "C" NOT NULL,
  meta_model text COLLATE "C" NOT NULL,
  benchmark text COLLATE "C" NOT NULL,
  suite_digest text COLLATE "C" NOT NULL,
  config text COLLATE "C" NOT NULL,
  seed_harness text COLLATE "C" NOT NULL,
  holder text COLLATE "C" NOT NULL,
  held_since text COLLATE "C" NOT NULL,
  seconds double precision NOT NULL,
  lorimer_toml text COLLATE "C"
);

CREATE TABLE task (
  study text COLLATE "C" NOT NULL REFERENCES study (id),
  id text COLLATE "C" NOT NULL,
  "position" bigint NOT NULL,
  split text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  instruction text COLLATE "C" NOT NULL,
  category text COLLATE "C" NOT NULL,
  difficulty text COLLATE "C" NOT NULL,
  isolation text COLLATE "C" NOT NULL,
  PRIMARY KEY (study, id)
);

CREATE TABLE harness (sha text COLLATE "C" PRIMARY KEY, text text COLLATE "C" NOT NULL);

CREATE TABLE candidate (
  id text COLLATE "C" PRIMARY KEY,
  study text COLLATE "C" NOT NULL REFERENCES study (id),
  number bigint NOT NULL,
  parent text COLLATE "C" NOT NULL REFERENCES harness (sha),
  harness text COLLATE "C" REFERENCES harness (sha),
  title text COLLATE "C" NOT NULL,
  hypothesis text COLLATE "C" NOT NULL,
  edit text COLLATE "C" NOT NULL,
  fixes text COLLATE "C" NOT NULL,
  at_risk text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL,
  failure text COLLATE "C" NOT NULL,
  origin text COLLATE "C" NOT NULL,
  "commit" text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  cause text COLLATE "C" NOT NULL,
  mechanism text COLLATE "C" NOT NULL,
  citations text COLLATE "C" NOT NULL,
  touches text COLLATE "C",
  round bigint,
  cluster text COLLATE "C" NOT NULL,
  rebased bigint
);
CREATE INDEX ix_candidate_study ON candidate (study);

CREATE TABLE preview (candidate text COLLATE "C" PRIMARY KEY, body text COLLATE "C" NOT NULL);

CREATE TABLE ability (
  model text COLLATE "C" PRIMARY KEY,
  address text COLLATE "C" NOT NULL,
  asked text COLLATE "C" NOT NULL,
  found text COLLATE "C" NOT NULL
);

CREATE TABLE evaluation (
  id text COLLATE "C" PRIMARY KEY,
  study text COLLATE "C" NOT NULL REFERENCES study (id),
  subject text COLLATE "C" NOT NULL,
  stage text COLLATE "C" NOT NULL,
  purpose text COLLATE "C" NOT NULL,
  met bigint,
  harness text COLLATE "C" NOT NULL,
  plan text COLLATE "C" NOT NULL
);
CREATE INDEX ix_evaluation_study ON evaluation (study);

CREATE TABLE trial (
  id text COLLATE "C" PRIMARY KEY,
  planned text COLLATE "C" NOT NULL,
  study text COLLATE "C" NOT NULL,
  evaluation text COLLATE "C" NOT NULL,
  stage text COLLATE "C" NOT NULL,
  harness text COLLATE "C" NOT NULL,
  task text COLLATE "C" NOT NULL,
  repeat bigint NOT NULL,
  attempt bigint NOT NULL,
  model text COLLATE "C" NOT NULL,
  sandbox text COLLATE "C" NOT NULL,
  network boolean NOT NULL,
  started text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL,
  cause text COLLATE "C" NOT NULL,
  detail text COLLATE "C" NOT NULL,
  reward double precision,
  rewards text COLLATE "C" NOT NULL,
  answer text COLLATE "C" NOT NULL,
  verifier_output text COLLATE "C" NOT NULL,
  model_calls bigint NOT NULL,
  refused_calls bigint NOT NULL,
  input_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL,
  cached_tokens bigint NOT NULL,
  cost_usd double precision,
  seconds double precision NOT NULL,
  active_seconds double precision NOT NULL,
  flags text COLLATE "C" NOT NULL,
  condition bigint,
  recorded_trial text COLLATE "C" NOT NULL,
  touch bigint,
  saved_calls bigint NOT NULL,
  saved_tokens bigint NOT NULL,
  saved_usd double precision,
  saved_seconds double precision NOT NULL,
  ran_whole text COLLATE "C" NOT NULL,
  UNIQUE (planned, attempt)
);
CREATE INDEX trial_began ON trial (study, started);
CREATE INDEX trial_started ON trial (started);
CREATE INDEX trial_by_harness_task ON trial (harness, task);
CREATE INDEX trial_scores ON trial (evaluation, task, repeat, attempt, state, cause, reward, id);
CREATE INDEX trial_refused ON trial (evaluation, state, refused_calls, model_calls, condition);
CREATE INDEX trial_counts ON trial (study, state, stage, network, reward);
CREATE INDEX trial_flagged ON trial (study) WHERE flags <> '[]';
CREATE INDEX trial_recorded ON trial (study) WHERE recorded_trial <> '';

CREATE TABLE condition (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  task text COLLATE "C" NOT NULL,
  concurrency bigint NOT NULL,
  images text COLLATE "C" NOT NULL,
  answered text COLLATE "C" NOT NULL
);
-- Not over the texts themselves, of which an index takes 2,700 bytes in all.
CREATE INDEX condition_same ON condition (task, concurrency, md5(images), md5(answered));

CREATE TABLE message (sha text COLLATE "C" PRIMARY KEY, body text COLLATE "C" NOT NULL);

-- A step's words for search: runs of letters and digits, without accents. What is no word in SQLite's index is none here.
CREATE FUNCTION lorimer_words(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(
  regexp_replace(normalize(said, NFD), '[\u0300-\u036f]+', '', 'g'),
  '[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00bf\u2000-\u206f\u3000-\u303f]+', ' ', 'g');

-- A text of more different words than an index entry holds (1 MB of them) is found by those of its beginning.
CREATE FUNCTION lorimer_index(said text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN to_tsvector('pg_catalog.simple', lorimer_words(said));
EXCEPTION WHEN program_limit_exceeded THEN
  RETURN to_tsvector('pg_catalog.simple', lorimer_words(left(said, 100000)));
END $$;

CREATE TABLE step (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  owner text COLLATE "C" NOT NULL,
  "index" bigint NOT NULL,
  kind text COLLATE "C" NOT NULL,
  at double precision NOT NULL,
  seconds double precision NOT NULL,
  data text COLLATE "C" NOT NULL,
  text text COLLATE "C" NOT NULL,
  words tsvector GENERATED ALWAYS AS (lorimer_index(text)) STORED,
  UNIQUE (owner, "index")
);
CREATE INDEX step_words ON step USING gin (words);

CREATE TABLE record (trial text COLLATE "C" PRIMARY KEY, body text COLLATE "C" NOT NULL);

CREATE TABLE lines (trial text COLLATE "C" PRIMARY KEY, ran text COLLATE "C" NOT NULL, whole boolean NOT NULL);

CREATE TABLE blob (sha text COLLATE "C" PRIMARY KEY, data bytea NOT NULL);

CREATE TABLE decision (
  id text COLLATE "C" PRIMARY KEY,
  study text COLLATE "C" NOT NULL REFERENCES study (id),
  subject text COLLATE "C" NOT NULL,
  stage text COLLATE "C" NOT NULL,
  purpose text COLLATE "C" NOT NULL,
  met bigint,
  kind text COLLATE "C" NOT NULL,
  reason text COLLATE "C" NOT NULL,
  numbers text COLLATE "C" NOT NULL,
  policy text COLLATE "C" NOT NULL,
  made text COLLATE "C" NOT NULL
);
CREATE INDEX ix_decision_study ON decision (study);

CREATE TABLE spend (
  id text COLLATE "C" PRIMARY KEY,
  study text COLLATE "C" NOT NULL,
  role text COLLATE "C" NOT NULL,
  owner text COLLATE "C" NOT NULL,
  reserved_usd double precision,
  reserved_tokens bigint NOT NULL,
  settled boolean NOT NULL,
  usd double precision,
  input_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL
);
CREATE INDEX spend_open ON spend (study) WHERE NOT settled;

CREATE TABLE spent (
  study text COLLATE "C" NOT NULL,
  role text COLLATE "C" NOT NULL,
  usd double precision NOT NULL,
  tokens bigint NOT NULL,
  unknown bigint NOT NULL,
  calls bigint NOT NULL,
  PRIMARY KEY (study, role)
);

CREATE TABLE chain (
  number bigint PRIMARY KEY,
  study text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  subject text COLLATE "C" NOT NULL,
  body text COLLATE "C" NOT NULL,
  made text COLLATE "C" NOT NULL,
  previous text COLLATE "C" NOT NULL,
  hash text COLLATE "C" NOT NULL
);
CREATE INDEX chain_about ON chain (study, kind, subject);

CREATE TABLE told (
  id text COLLATE "C" PRIMARY KEY, study text COLLATE "C" NOT NULL, made text COLLATE "C" NOT NULL
);

CREATE TABLE warning (
  id text COLLATE "C" PRIMARY KEY,
  study text COLLATE "C" NOT NULL,
  text text COLLATE "C" NOT NULL,
  made text COLLATE "C" NOT NULL
);
CREATE INDEX ix_warning_study ON warning (study);

-- A guard against mistakes. Whoever means harm can drop a trigger: the hashes are what tells.
CREATE FUNCTION lorimer_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER chain_append_only BEFORE UPDATE OR DELETE ON chain FOR EACH ROW EXECUTE FUNCTION lorimer_append_only();
CREATE TRIGGER decision_append_only BEFORE UPDATE OR DELETE ON decision FOR EACH ROW EXECUTE FUNCTION lorimer_append_only();
