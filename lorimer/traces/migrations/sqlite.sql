-- The whole schema of revision 0026 on SQLite, as the revisions make it. tools/schema.py wrote it.

CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE study (
	id VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	created VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	state_reason VARCHAR NOT NULL, 
	seed INTEGER NOT NULL, 
	task_model VARCHAR NOT NULL, 
	meta_model VARCHAR NOT NULL, 
	benchmark VARCHAR NOT NULL, 
	suite_digest VARCHAR NOT NULL, 
	config JSON NOT NULL, 
	seed_harness VARCHAR NOT NULL, 
	holder VARCHAR NOT NULL, held_since VARCHAR DEFAULT '' NOT NULL, seconds FLOAT DEFAULT '0' NOT NULL, lorimer_toml JSON, 
	PRIMARY KEY (id)
);
CREATE TABLE task (
	study VARCHAR NOT NULL, 
	id VARCHAR NOT NULL, 
	position INTEGER NOT NULL, 
	split VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	instruction VARCHAR NOT NULL, 
	category VARCHAR NOT NULL, 
	difficulty VARCHAR NOT NULL, 
	isolation VARCHAR NOT NULL, 
	PRIMARY KEY (study, id), 
	FOREIGN KEY(study) REFERENCES study (id)
);
CREATE TABLE harness (
	sha VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	PRIMARY KEY (sha)
);
CREATE TABLE candidate (
	id VARCHAR NOT NULL, 
	study VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	parent VARCHAR NOT NULL, 
	harness VARCHAR, 
	title VARCHAR NOT NULL, 
	hypothesis VARCHAR NOT NULL, 
	edit JSON NOT NULL, 
	fixes JSON NOT NULL, 
	at_risk JSON NOT NULL, 
	state VARCHAR NOT NULL, 
	failure VARCHAR NOT NULL, 
	origin VARCHAR NOT NULL, 
	"commit" VARCHAR NOT NULL, touches JSON, kind VARCHAR DEFAULT '' NOT NULL, cause VARCHAR DEFAULT '' NOT NULL, mechanism VARCHAR DEFAULT '' NOT NULL, citations JSON DEFAULT '[]' NOT NULL, round INTEGER, cluster VARCHAR DEFAULT '' NOT NULL, rebased INTEGER, refused JSON, 
	PRIMARY KEY (id), 
	FOREIGN KEY(study) REFERENCES study (id), 
	FOREIGN KEY(parent) REFERENCES harness (sha), 
	FOREIGN KEY(harness) REFERENCES harness (sha)
);
CREATE INDEX ix_candidate_study ON candidate (study);
CREATE TABLE trial (
	id VARCHAR NOT NULL, 
	planned VARCHAR NOT NULL, 
	study VARCHAR NOT NULL, 
	evaluation VARCHAR NOT NULL, 
	stage VARCHAR NOT NULL, 
	harness VARCHAR NOT NULL, 
	task VARCHAR NOT NULL, 
	repeat INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	sandbox VARCHAR NOT NULL, 
	network BOOLEAN NOT NULL, 
	started VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	cause VARCHAR NOT NULL, 
	detail VARCHAR NOT NULL, 
	reward FLOAT, 
	rewards JSON NOT NULL, 
	answer VARCHAR NOT NULL, 
	verifier_output VARCHAR NOT NULL, 
	model_calls INTEGER NOT NULL, 
	input_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	cached_tokens INTEGER NOT NULL, 
	cost_usd FLOAT, 
	seconds FLOAT NOT NULL, 
	active_seconds FLOAT NOT NULL, 
	flags JSON NOT NULL, refused_calls INTEGER DEFAULT '0' NOT NULL, condition INTEGER, recorded_trial VARCHAR DEFAULT '' NOT NULL, touch INTEGER, saved_calls INTEGER DEFAULT '0' NOT NULL, saved_tokens INTEGER DEFAULT '0' NOT NULL, saved_usd FLOAT DEFAULT '0', saved_seconds FLOAT DEFAULT '0' NOT NULL, ran_whole VARCHAR DEFAULT '' NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (planned, attempt)
);
CREATE INDEX trial_by_harness_task ON trial (harness, task);
CREATE TABLE message (
	sha VARCHAR NOT NULL, 
	body JSON NOT NULL, 
	PRIMARY KEY (sha)
);
CREATE TABLE step (
	id INTEGER NOT NULL, 
	owner VARCHAR NOT NULL, 
	"index" INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	seconds FLOAT NOT NULL, 
	data JSON NOT NULL, 
	found VARCHAR NOT NULL, text VARCHAR NOT NULL GENERATED ALWAYS AS (coalesce(CASE WHEN found <> '' THEN found WHEN kind = 'model_call' OR NOT json_valid(data) THEN '' WHEN kind = 'exec' THEN json_extract(data, '$.command') || CASE coalesce(json_extract(data, '$.stdout'), '') WHEN '' THEN '' ELSE char(10) || json_extract(data, '$.stdout') END || CASE coalesce(json_extract(data, '$.stderr'), '') WHEN '' THEN '' ELSE char(10) || json_extract(data, '$.stderr') END WHEN kind = 'read' THEN json_extract(data, '$.path') || CASE coalesce(json_extract(data, '$.error'), '') WHEN '' THEN '' ELSE char(10) || json_extract(data, '$.error') END ELSE json_extract(data, '$.text') END, '')) VIRTUAL, 
	PRIMARY KEY (id), 
	UNIQUE (owner, "index")
);
CREATE TABLE spend (
	id VARCHAR NOT NULL, 
	study VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	reserved_usd FLOAT, 
	reserved_tokens INTEGER NOT NULL, 
	settled BOOLEAN NOT NULL, 
	usd FLOAT, 
	input_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE VIRTUAL TABLE step_fts USING fts5(text, content='step', content_rowid='id', tokenize='unicode61 remove_diacritics 2');
CREATE TABLE chain (
	number INTEGER NOT NULL, 
	study VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	body JSON NOT NULL, 
	made VARCHAR NOT NULL, 
	previous VARCHAR NOT NULL, 
	hash VARCHAR NOT NULL, 
	PRIMARY KEY (number)
);
CREATE TABLE warning (
	id VARCHAR NOT NULL, 
	study VARCHAR NOT NULL, 
	text VARCHAR NOT NULL, 
	made VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_warning_study ON warning (study);
CREATE TRIGGER chain_no_update BEFORE UPDATE ON chain BEGIN SELECT RAISE(ABORT, 'chain is append-only'); END;
CREATE TRIGGER chain_no_delete BEFORE DELETE ON chain BEGIN SELECT RAISE(ABORT, 'chain is append-only'); END;
CREATE TABLE evaluation (
	id VARCHAR NOT NULL, 
	study VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	stage VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	met INTEGER, 
	harness VARCHAR NOT NULL, 
	"plan" JSON NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(study) REFERENCES study (id)
);
CREATE INDEX ix_evaluation_study ON evaluation (study);
CREATE TABLE decision (
	id VARCHAR NOT NULL, 
	study VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	stage VARCHAR NOT NULL, 
	purpose VARCHAR NOT NULL, 
	met INTEGER, 
	kind VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	numbers JSON NOT NULL, 
	policy JSON NOT NULL, 
	made VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(study) REFERENCES study (id)
);
CREATE INDEX ix_decision_study ON decision (study);
CREATE TRIGGER decision_no_update BEFORE UPDATE ON decision BEGIN SELECT RAISE(ABORT, 'decision is append-only'); END;
CREATE TRIGGER decision_no_delete BEFORE DELETE ON decision BEGIN SELECT RAISE(ABORT, 'decision is append-only'); END;
CREATE INDEX trial_counts ON trial (study, state, stage, network, reward);
CREATE INDEX trial_flagged ON trial (study) WHERE flags <> '[]';
CREATE TABLE spent (
	study VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	usd FLOAT NOT NULL, 
	tokens INTEGER NOT NULL, 
	unknown INTEGER NOT NULL, 
	calls INTEGER NOT NULL, input_tokens INTEGER DEFAULT '0' NOT NULL, cached_tokens INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (study, role)
);
CREATE INDEX spend_open ON spend (study) WHERE settled IS 0;
CREATE INDEX trial_scores ON trial (evaluation, task, repeat, attempt, state, cause, reward, id);
CREATE TABLE condition (
	id INTEGER NOT NULL, 
	task VARCHAR NOT NULL, 
	concurrency INTEGER NOT NULL, 
	images JSON NOT NULL, 
	answered JSON NOT NULL, 
	PRIMARY KEY (id)
);
CREATE UNIQUE INDEX condition_same ON condition (task, concurrency, images, answered);
CREATE INDEX trial_refused ON trial (evaluation, state, refused_calls, model_calls, condition);
CREATE TABLE record (
	trial VARCHAR NOT NULL, 
	body JSON NOT NULL, 
	PRIMARY KEY (trial)
);
CREATE TABLE blob (
	sha VARCHAR NOT NULL, 
	data BLOB NOT NULL, 
	PRIMARY KEY (sha)
);
CREATE TABLE preview (
	candidate VARCHAR NOT NULL, 
	body JSON NOT NULL, 
	PRIMARY KEY (candidate)
);
CREATE TABLE ability (
	model VARCHAR NOT NULL, 
	address VARCHAR NOT NULL, 
	asked VARCHAR NOT NULL, 
	found JSON NOT NULL, 
	PRIMARY KEY (model)
);
CREATE INDEX trial_recorded ON trial (study) WHERE recorded_trial <> '';
CREATE TABLE lines (
	trial VARCHAR NOT NULL, 
	ran VARCHAR NOT NULL, 
	whole BOOLEAN NOT NULL, led_to JSON, 
	PRIMARY KEY (trial)
);
CREATE TABLE told (
	id VARCHAR NOT NULL, 
	study VARCHAR NOT NULL, 
	made VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX trial_started ON trial (started);
CREATE INDEX chain_about ON chain (study, kind, subject);
CREATE TABLE cache_break (
	study VARCHAR NOT NULL, 
	trial VARCHAR NOT NULL, 
	stage VARCHAR NOT NULL, 
	calls INTEGER NOT NULL, 
	changed INTEGER NOT NULL, 
	lost_tokens INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	why VARCHAR NOT NULL, 
	PRIMARY KEY (study, trial)
);
CREATE INDEX trial_began ON trial (study, started, id);
CREATE TRIGGER step_fts_delete AFTER DELETE ON step WHEN old.text != '' BEGIN INSERT INTO step_fts(step_fts, rowid, text) VALUES ('delete', old.id, old.text); END;
CREATE TABLE effect (
	candidate VARCHAR NOT NULL, 
	body JSON NOT NULL, 
	PRIMARY KEY (candidate)
);
INSERT INTO alembic_version VALUES ('0026');
