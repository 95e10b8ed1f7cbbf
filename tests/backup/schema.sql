-- Every column type, charset and odd name that a dump can get wrong.
SET sql_mode='';
CREATE TABLE numbers (
  id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  t TINYINT, s SMALLINT UNSIGNED, m MEDIUMINT, i INT ZEROFILL, b BIGINT,
  d DECIMAL(30,10), f FLOAT, g DOUBLE, y YEAR, bits BIT(12), flag BIT(1), truth BOOL
) ENGINE=InnoDB AUTO_INCREMENT=5000;
INSERT INTO numbers VALUES
  (0+1, -128, 65535, -8388608, 42, -9223372036854775808, -12345678901234567890.0123456789, 0.1, 1.7976931348623157e308, 1901, b'101010101010', b'1', 1),
  (9223372036854775900, 127, 0, 8388607, 0, 9223372036854775807, 0.0000000001, 3.4028235e38, 5e-324, 2155, b'0', b'0', 0),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO numbers (f, g) SELECT RAND(seq) * POW(10, seq % 60 * 1.0 - 30), RAND(seq + 9) * POW(10, seq % 300 * 1.0 - 150) FROM seq_4_to_2000;

CREATE TABLE times (
  at DATETIME(6) NOT NULL, n INT NOT NULL,
  d DATE, t TIME(3), ts TIMESTAMP(6) NULL, ts0 TIMESTAMP NOT NULL DEFAULT '2000-01-01 00:00:00',
  PRIMARY KEY (at, n)
) ENGINE=InnoDB;
INSERT INTO times VALUES
  ('1000-01-01 00:00:00.000001', 1, '0000-00-00', '-838:59:59.000', '2038-01-19 03:14:07.999999', '1970-01-01 00:00:01'),
  ('9999-12-31 23:59:59.999999', 2, '9999-12-31', '838:59:59.999', NULL, '2026-03-29 01:30:00'),
  ('2026-03-29 02:30:00', -3, NULL, '00:00:00.001', '2026-10-25 00:30:00.5', '2026-10-25 01:30:00');

CREATE TABLE texts (
  k VARCHAR(60) COLLATE utf8mb4_unicode_ci PRIMARY KEY,
  a CHAR(20) CHARACTER SET latin1, u3 VARCHAR(50) CHARACTER SET utf8mb3, u4 LONGTEXT CHARACTER SET utf8mb4,
  j VARCHAR(60) CHARACTER SET sjis, g VARCHAR(60) CHARACTER SET gbk, w VARCHAR(60) CHARACTER SET utf16,
  c2 CHAR(10) CHARACTER SET ucs2, r TEXT CHARACTER SET koi8r, big5 TEXT CHARACTER SET big5, asc_ TEXT CHARACTER SET ascii,
  e ENUM('', 'zwei', 'é''s', 'a,b'), se SET('x', 'ý', 'z'), js JSON,
  wide SET('m0','m1','m2','m3','m4','m5','m6','m7','m8','m9','m10','m11','m12','m13','m14','m15','m16','m17','m18','m19','m20','m21','m22','m23','m24','m25','m26','m27','m28','m29','m30','m31','m32','m33','m34','m35','m36','m37','m38','m39','m40','m41','m42','m43','m44','m45','m46','m47','m48','m49','m50','m51','m52','m53','m54','m55','m56','m57','m58','m59','m60','m61','m62','m63')
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO texts VALUES
  ('plain', 'abc', 'ü', '😀 it''s "q" \\ \n \r \0 \Z % {', '表ソ', '你好', '😀w', 'öÖ', 'Привет', '功許蓋', 'ascii', 'é''s', 'x,z', '{"a": [1, "\\u00e9"]}', 9223372036854775809),
  ('ÄÖ', '', '', '', '', '', '', '', '', '', '', '', '', '[]', 1),
  ('zzz', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ('', ' trailing ', 'x  ', '  ', '\\', '\'', '"', ';', '--', '#', '/*', 'a,b', 'ý', '1', 'm63,m1'),
  ('ﬀ', 'x', 'DELIMITER ;;', '\';\nDROP TABLE texts;', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'zwei', 'z', 'null', 0);
UPDATE texts SET a = CONVERT(UNHEX('80818D8F909DA0FF') USING latin1) WHERE k = 'zzz';
INSERT INTO texts (k, u4, e) VALUES ('bad enum', REPEAT('long €', 40000), 'nothing of these');

CREATE TABLE binaries (
  k VARBINARY(40) PRIMARY KEY, f BINARY(8), b LONGBLOB, t TINYBLOB, p POINT, geo GEOMETRY, i6 INET6, u UUID
) ENGINE=InnoDB;
INSERT INTO binaries VALUES
  ('', '0', '', '0', POINT(1.5, -2), ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))', 4326), '2001:db8::1', '123e4567-e89b-12d3-a456-426614174000'),
  (0x00FF, 0x0001, 0x00010203272227225C0A0D1A, NULL, NULL, NULL, '::', NULL),
  (0x00, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO binaries (k, b) SELECT CONCAT('r', seq), UNHEX(SHA2(seq, 512)) FROM seq_1_to_3000;
INSERT INTO binaries (k, b) VALUES ('big', REPEAT(UNHEX('00FF80'), 500000));

CREATE TABLE composite (
  site INT NOT NULL, name VARCHAR(40) NOT NULL, part SMALLINT NOT NULL, pad VARCHAR(200),
  PRIMARY KEY (site, name, part)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO composite SELECT seq % 7, CONCAT('name-', seq DIV 50), seq % 50, REPEAT(MD5(seq), 5) FROM seq_1_to_6000;

CREATE TABLE unique_only (
  a INT NULL, code CHAR(12) CHARACTER SET ascii NOT NULL, n INT NOT NULL,
  UNIQUE KEY maybe (a), UNIQUE KEY ix (code, n)
) ENGINE=InnoDB;
INSERT INTO unique_only SELECT NULL, LPAD(seq, 12, '0'), seq FROM seq_1_to_500;

CREATE TABLE keyless (a INT, b VARCHAR(100)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO keyless SELECT seq % 10, 'same' FROM seq_1_to_400;

CREATE TABLE enum_key (e ENUM('z', 'm', 'a') PRIMARY KEY, n INT) ENGINE=InnoDB;
INSERT INTO enum_key VALUES ('a', 1), ('m', 2), ('z', 3);

CREATE TABLE generated_columns (
  id INT PRIMARY KEY AUTO_INCREMENT, price DECIMAL(10,2), count_ INT,
  total DECIMAL(20,2) AS (price * count_) STORED, label VARCHAR(50) AS (CONCAT('#', id)) VIRTUAL,
  hidden INT INVISIBLE DEFAULT 7, KEY (total), CHECK (count_ > 0)
) ENGINE=InnoDB;
INSERT INTO generated_columns (price, count_, hidden) VALUES (9.99, 3, 1), (0.01, 1000, 2);

CREATE TABLE parent_ (id INT PRIMARY KEY, nxt INT, KEY (nxt)) ENGINE=InnoDB;
CREATE TABLE child_ (
  id INT PRIMARY KEY, parent INT,
  CONSTRAINT `fk to parent` FOREIGN KEY (parent) REFERENCES parent_ (id) ON DELETE CASCADE ON UPDATE CASCADE
) ENGINE=InnoDB;
ALTER TABLE parent_ ADD CONSTRAINT circle FOREIGN KEY (nxt) REFERENCES child_ (id);
SET foreign_key_checks=0;
INSERT INTO parent_ VALUES (1, 10), (2, NULL), (0, 20);
INSERT INTO child_ VALUES (10, 1), (20, 0), (30, 2);
SET foreign_key_checks=1;

CREATE TABLE audit (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(100)) ENGINE=InnoDB;
CREATE TABLE audited (id INT PRIMARY KEY, v INT) ENGINE=InnoDB;
INSERT INTO audited VALUES (1, 1), (2, 2);

CREATE TABLE `od``d "na'me" täble` (`a``b` INT PRIMARY KEY, `c'd "e"` VARCHAR(10), `ü-1` INT) ENGINE=InnoDB COMMENT='it''s\nodd AUTO_INCREMENT=7';
INSERT INTO `od``d "na'me" täble` VALUES (1, 'x', 2), (-5, NULL, NULL);
CREATE TABLE `select` (`from` INT PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO `select` VALUES (0), (1);

CREATE TABLE memory_ (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=MyISAM;
INSERT INTO memory_ VALUES (1, 'one'), (2, 'two');
CREATE TABLE aria_ (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=Aria;
INSERT INTO aria_ VALUES (1, 'one');
CREATE TABLE parts (id INT PRIMARY KEY, v INT) ENGINE=InnoDB PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (100), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO parts SELECT seq, seq * seq % 97 FROM seq_1_to_300;
CREATE TABLE empty_ (id INT AUTO_INCREMENT PRIMARY KEY, v INT) ENGINE=InnoDB AUTO_INCREMENT=77;

CREATE FUNCTION add_one(x INT) RETURNS INT DETERMINISTIC RETURN x + 1;
CREATE VIEW z_base AS SELECT id, add_one(v) AS `v plus "one"` FROM audited;
CREATE VIEW a_on_z AS SELECT * FROM z_base WHERE id > 0;
CREATE VIEW `vïew` AS SELECT 'é' AS `ü`, a FROM keyless;
CREATE PROCEDURE fill(IN n INT) BEGIN DECLARE i INT DEFAULT 0; WHILE i < n DO INSERT INTO empty_ (v) VALUES (i); SET i = i + 1; END WHILE; END;
CREATE TRIGGER audited_insert AFTER INSERT ON audited FOR EACH ROW BEGIN INSERT INTO audit (what) VALUES (CONCAT('insert; ', NEW.id)); END;
CREATE TRIGGER audited_delete AFTER DELETE ON audited FOR EACH ROW INSERT INTO audit (what) VALUES ('delete');
CREATE EVENT yearly ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DISABLE DO DELETE FROM audit;
