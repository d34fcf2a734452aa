"""One file per rule. A rule is enabled by an entry in conf/rules.yaml."""
