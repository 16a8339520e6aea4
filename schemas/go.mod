module github.com/backupbus/backupbus/schemas

go 1.26.0
