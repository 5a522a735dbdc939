BEGIN TRANSACTION;
CREATE TABLE monitor_champions (
	number INTEGER NOT NULL, 
	time FLOAT NOT NULL, 
	task VARCHAR(250) NOT NULL, 
	version VARCHAR(250) NOT NULL, 
	checksum VARCHAR(250) NOT NULL, 
	reference_id VARCHAR(250) NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "monitor_champions" VALUES(1,1790000001.0,'fundus','1','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','r1');
INSERT INTO "monitor_champions" VALUES(2,1790000002.0,'fundus','2','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc','r2');
CREATE TABLE monitor_counters (
	task VARCHAR(250) NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	value BIGINT NOT NULL, 
	PRIMARY KEY (task, name)
);
INSERT INTO "monitor_counters" VALUES('fundus','accepted',2);
INSERT INTO "monitor_counters" VALUES('fundus','rejected',3000000000);
CREATE TABLE monitor_decisions (
	number INTEGER NOT NULL, 
	time FLOAT NOT NULL, 
	last_time FLOAT NOT NULL, 
	times INTEGER NOT NULL, 
	task VARCHAR(250) NOT NULL, 
	instrument VARCHAR(250) NOT NULL, 
	action VARCHAR(20) NOT NULL, 
	reason TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	facts TEXT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "monitor_decisions" VALUES(1,1790000001.0,1790000002.0,1,'fundus','A','label','label 3 more','k1','{"labelled": 2}');
INSERT INTO "monitor_decisions" VALUES(2,1790000002.0,1790000003.0,2,'fundus','A','retrain','label 3 more','k2','{"labelled": 2}');
CREATE TABLE monitor_detectors (
	task VARCHAR(250) NOT NULL, 
	instrument VARCHAR(250) NOT NULL, 
	stream VARCHAR(80) NOT NULL, 
	reference_id VARCHAR(250) NOT NULL, 
	resets INTEGER NOT NULL, 
	statistic FLOAT NOT NULL, 
	observations BIGINT NOT NULL, 
	alarm_at BIGINT, 
	alarm_time FLOAT, 
	updated FLOAT NOT NULL, 
	history TEXT NOT NULL, 
	PRIMARY KEY (task, instrument, stream, reference_id)
);
INSERT INTO "monitor_detectors" VALUES('fundus','A','appearance','r1',0,1.25,1,NULL,NULL,1790000002.0,'[[1, 1.25]]');
INSERT INTO "monitor_detectors" VALUES('fundus','A','quality','r1',1,1.25,1,12,1790000001.0,1790000002.0,'[[1, 1.25]]');
CREATE TABLE monitor_instruments (
	task VARCHAR(250) NOT NULL, 
	instrument VARCHAR(250) NOT NULL, 
	observations BIGINT NOT NULL, 
	last_seen FLOAT NOT NULL, 
	PRIMARY KEY (task, instrument)
);
INSERT INTO "monitor_instruments" VALUES('fundus','',1,1790000001.0);
INSERT INTO "monitor_instruments" VALUES('fundus','A',1,1790000001.0);
CREATE TABLE monitor_observations (
	arrival INTEGER NOT NULL, 
	id VARCHAR(250) NOT NULL, 
	task VARCHAR(250) NOT NULL, 
	instrument VARCHAR(250) NOT NULL, 
	model_version VARCHAR(250) NOT NULL, 
	reference_id VARCHAR(250) NOT NULL, 
	seq BIGINT NOT NULL, 
	time FLOAT NOT NULL, 
	received FLOAT NOT NULL, 
	embedding BLOB NOT NULL, 
	shape TEXT NOT NULL, 
	acquisition TEXT NOT NULL, 
	patient_hmac VARCHAR(250), 
	case_ref VARCHAR(250), 
	scored BOOLEAN NOT NULL, 
	PRIMARY KEY (arrival), 
	UNIQUE (id)
);
INSERT INTO "monitor_observations" VALUES(1,'A-1','fundus','A','1','r1',1,1790000001.0,1790000001.5,X'0000003F0000A0BF0000803F','{"disc.area": 0.5}','{"width": 40.0}','ab12',NULL,1);
INSERT INTO "monitor_observations" VALUES(2,'A-2','fundus','','1','r1',2,1790000002.0,1790000002.5,X'0000003F0000A0BF00000040','{"disc.area": 0.5}','{"width": 40.0}',NULL,'cases/A-2.png',0);
CREATE TABLE monitor_rejected (
	digest VARCHAR(64) NOT NULL, 
	time FLOAT NOT NULL, 
	id VARCHAR(250) NOT NULL, 
	reason TEXT NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (digest)
);
INSERT INTO "monitor_rejected" VALUES('dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1790000000.0,'x','é, which isn''t a number','{"a": "''"}');
INSERT INTO "monitor_rejected" VALUES('eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee',1790000001.0,'','no id','line 1
line 2');
CREATE TABLE monitor_resets (
	number INTEGER NOT NULL, 
	time FLOAT NOT NULL, 
	task VARCHAR(250) NOT NULL, 
	instrument VARCHAR(250) NOT NULL, 
	reference_id VARCHAR(250) NOT NULL, 
	"by" VARCHAR(250) NOT NULL, 
	reason TEXT NOT NULL, 
	statistics TEXT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "monitor_resets" VALUES(1,1790000001.0,'fundus','A','r1','Ada','a dirty lens','{"appearance": 9.5}');
INSERT INTO "monitor_resets" VALUES(2,1790000002.0,'fundus','A','r1','','a dirty lens','{"appearance": 9.5}');
CREATE TABLE monitor_runs (
	"key" VARCHAR(250) NOT NULL, 
	task VARCHAR(250) NOT NULL, 
	instrument VARCHAR(250) NOT NULL, 
	number INTEGER NOT NULL, 
	pipeline TEXT NOT NULL, 
	arguments TEXT NOT NULL, 
	state VARCHAR(20) NOT NULL, 
	run_id VARCHAR(250) NOT NULL, 
	outcome VARCHAR(40) NOT NULL, 
	decided FLOAT NOT NULL, 
	launched FLOAT, 
	ended FLOAT, 
	error TEXT NOT NULL, 
	PRIMARY KEY ("key"), 
	UNIQUE (task, instrument, number)
);
INSERT INTO "monitor_runs" VALUES('fundus-A-v1-r1-1','fundus','A',1,'/p/pipeline.yaml','{}','succeeded','run-1','promote',1790000001.0,1790000001.0,1790000002.0,'');
INSERT INTO "monitor_runs" VALUES('fundus-A-v1-r1-2','fundus','A',2,'/p/pipeline.yaml','{}','decided','','',1790000002.0,NULL,NULL,'');
CREATE TABLE monitor_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT monitor_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "monitor_version" VALUES('v1');
CREATE INDEX monitor_observations_patient ON monitor_observations (patient_hmac, time);
CREATE INDEX monitor_observations_received ON monitor_observations (received);
CREATE INDEX monitor_observations_unscored ON monitor_observations (reference_id, arrival) WHERE scored = 0;
CREATE INDEX monitor_decisions_instrument ON monitor_decisions (task, instrument, number);
COMMIT;
