package mysql

import "testing"

func TestScan_TextInALanguageOfItsOwnIsKnownByItsStatement(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		"CREATE LIBRARY `l` COMMENT 'it''s; AS' LANGUAGE JAVASCRIPT AS ",
		"/*!50003 CREATE*/ /*!50020 DEFINER=`a b`@`%`*/ /*!50003 FUNCTION `f;`(begin INT) RETURNS int\n    DETERMINISTIC\n    LANGUAGE JAVASCRIPT\nAS ",
		"CREATE DEFINER=`r`@`h` PROCEDURE `p`()\n    LANGUAGE js NO SQL SQL SECURITY INVOKER COMMENT 'a\\'b' USING (`d`.`l` AS `x`)\nAS ",
	} {
		s := newScan()
		_, _ = s.Write([]byte("DELIMITER ;;\n" + head + "$js$ it's $$ ;; $js$ ;;\nDELIMITER ;\n"))
		if !s.whole() {
			t.Errorf("%q: state %d, %q", head, s.state, s.text)
		}
	}
	for _, code := range []string{
		"CREATE PROCEDURE `p`() BEGIN SELECT language AS lang, total AS $total FROM t; END",
		"CREATE PROCEDURE `p`() BEGIN SELECT language AS lang, total AS $total, 1 AS $b FROM t; END",
		"CREATE PROCEDURE `p`() SELECT language l, total AS $total FROM t",
		"CREATE PROCEDURE `p`() SELECT MATCH (a) AGAINST ('x' IN NATURAL LANGUAGE MODE) AS $score FROM t",
		"CREATE FUNCTION `f`() RETURNS int LANGUAGE SQL RETURN (SELECT 1 AS $one)",
		"CREATE PROCEDURE `p`() COMMENT 'LANGUAGE JAVASCRIPT' SELECT 1 AS $one",
		"CREATE VIEW `v` AS SELECT `t`.`function` AS `function`, language AS lang, 1 AS $one FROM t",
		"CREATE PROCEDURE `p`() LANGUAGE JAVASCRIPT AS $no.tag", // of no server
	} {
		s := newScan()
		_, _ = s.Write([]byte("DELIMITER ;;\n" + code + " ;;\nDELIMITER ;\n"))
		if !s.whole() {
			t.Errorf("%q: state %d, %q", code, s.state, s.text)
		}
	}
}
