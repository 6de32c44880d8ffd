# shellcheck shell=bash
# What fetch.sh fetches for the applications: brokers of Kafka, and Hadoop's elector.
jars Kafka 3.9.1 pom-kafka.xml jars-kafka kafka.version
jars Hadoop 3.4.1 pom-hadoop.xml jars-hadoop hadoop.version
