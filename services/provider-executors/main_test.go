package executors_test

import (
	"flag"
	"os"
	"testing"
)

// atOnce is how many tests run at once, unless the command line says it: they wait for pauses, limits and servers for
// more than half of their time.
const atOnce = "4"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", atOnce); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
