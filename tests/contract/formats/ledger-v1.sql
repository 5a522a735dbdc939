BEGIN TRANSACTION;
CREATE TABLE ledger (
	seq INTEGER NOT NULL, 
	time VARCHAR(40) NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	task VARCHAR(80) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	body TEXT NOT NULL, 
	previous VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (kind, task, "key"), 
	UNIQUE (hash)
);
INSERT INTO "ledger" VALUES(1,'2026-10-21T14:05:00.250+00:00','decision','fundus','camera-b-1','{"cells":[{"dice":0.9125,"instrument":"A","n":40}],"outcome":"promote","version":"1"}','0000000000000000000000000000000000000000000000000000000000000000','7457ed3dec17881056a8dfe6656269efc19c56aff7bfe1efec2317c4ee1790d4');
INSERT INTO "ledger" VALUES(2,'2026-10-21T14:06:00.250+00:00','promotion','fundus','camera-b-1','{"by":"","checksum":"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc","version":"1"}','7457ed3dec17881056a8dfe6656269efc19c56aff7bfe1efec2317c4ee1790d4','8b373b42ddf879f1706d947e68637004a9329c3b636b423656ebfcc069f1db65');
INSERT INTO "ledger" VALUES(3,'2026-10-21T14:07:00.250+00:00','approval','fundus','camera-b-2','{"approved_by":"Müller","limit":1e-09,"none":null,"reason":"it''s the \"new\" lens","yes":true}','8b373b42ddf879f1706d947e68637004a9329c3b636b423656ebfcc069f1db65','0253ae3ec0785486f88fbbf907dc948f5a52c5926004199d297cd92920507c13');
INSERT INTO "ledger" VALUES(4,'2026-10-21T14:08:00.250+00:00','decision','lung','ct-1','{"outcome":"refuse","reason":"floor"}','0253ae3ec0785486f88fbbf907dc948f5a52c5926004199d297cd92920507c13','575a944db206b53b78b813efe6d189efe79028c3df65abaa562217c5428427ac');
CREATE TABLE ledger_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT ledger_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "ledger_version" VALUES('v1');
CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_no_replace BEFORE INSERT ON ledger WHEN EXISTS (SELECT 1 FROM ledger WHERE seq = NEW.seq OR hash = NEW.hash OR (kind = NEW.kind AND task = NEW.task AND key = NEW.key)) BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
COMMIT;
