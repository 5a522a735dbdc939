BEGIN TRANSACTION;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO "counter" VALUES('sent',3);
CREATE TABLE refused (seq INTEGER PRIMARY KEY, time REAL NOT NULL, body TEXT NOT NULL, reason TEXT);
INSERT INTO "refused" VALUES(3,1790000010.0,'{"id":"A-2","task":"fundus","instrument":"A","model_version":"1","reference_id":"r1","seq":3,"time":1790000002.0,"embedding":"AAAAPwAAoL8=","shape":{"disc.area":0.5},"acquisition":{"width":40.0},"patient_hmac":null,"case_ref":null}','HTTP 422: it isn''t one');
CREATE TABLE waiting (seq INTEGER PRIMARY KEY, time REAL NOT NULL, body TEXT NOT NULL);
INSERT INTO "waiting" VALUES(4,1790000003.0,'{"id":"A-3","task":"fundus","instrument":"A","model_version":"1","reference_id":"r1","seq":4,"time":1790000003.0,"embedding":"AAAAPwAAoL8=","shape":{"disc.area":0.5},"acquisition":{"width":40.0},"patient_hmac":null,"case_ref":null}');
INSERT INTO "waiting" VALUES(5,1790000004.0,'{"id":"A-4","task":"fundus","instrument":"A","model_version":"1","reference_id":"r1","seq":5,"time":1790000004.0,"embedding":"AAAAPwAAoL8=","shape":{"disc.area":0.5},"acquisition":{"width":40.0},"patient_hmac":null,"case_ref":null}');
COMMIT;
