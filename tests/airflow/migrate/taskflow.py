from airflow.decorators import dag, task


@dag(schedule=None)
def taskflow():
    @task
    def extract():
        return [1, 2]

    @task.bash
    def show(rows):
        return "echo %s" % rows

    show(extract())


taskflow()
